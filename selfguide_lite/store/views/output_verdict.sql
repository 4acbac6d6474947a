-- Every output with the first reason for which it is rejected and the detail, or none where it counts as a vote.
WITH
  rejected(id, rank, reason, detail) AS (
    SELECT id, 1, 'empty', detail FROM filter_output_empty
    UNION ALL SELECT id, 2, 'noise', detail FROM filter_output_noise
    UNION ALL SELECT id, 3, 'length', detail FROM filter_output_length
    UNION ALL SELECT id, 4, 'label', detail FROM filter_output_label/* your filters: output */
  ),
  first AS MATERIALIZED (
    SELECT id, min(rank) AS rank, reason, detail FROM rejected GROUP BY id
  )
SELECT o.id, o.input_id, f.reason, f.detail
FROM output AS o
LEFT JOIN first AS f ON f.id = o.id;
