-- Every output that a filter rejects, with the first reason and its detail.
WITH
  rejected(id, rank, reason, detail) AS (
    SELECT id, 1, 'empty', detail FROM filter_output_empty
    UNION ALL SELECT id, 2, 'noise', detail FROM filter_output_noise
    UNION ALL SELECT id, 3, 'length', detail FROM filter_output_length
    UNION ALL SELECT id, 4, 'label', detail FROM filter_output_label/* your filters: output */
  )
SELECT id, reason, detail, min(rank) AS rank
FROM rejected
WHERE id IS NOT NULL
GROUP BY id;
