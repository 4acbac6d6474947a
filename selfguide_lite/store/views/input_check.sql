-- Every input with the first reason for which a filter rejects it, or none; duplicates not yet looked at.
WITH
  rejected(id, rank, reason, detail) AS (
    SELECT id, 1, 'empty', detail FROM filter_input_empty
    UNION ALL SELECT id, 2, 'noise', detail FROM filter_input_noise
    UNION ALL SELECT id, 3, 'length', detail FROM filter_input_length
    UNION ALL SELECT id, 4, 'echo', detail FROM filter_input_echo/* your filters: input */
  ),
  first AS (
    SELECT id, reason, detail, min(rank) AS rank FROM rejected WHERE id IS NOT NULL GROUP BY id
  )
SELECT i.id, i.task_id, f.reason, f.detail
FROM input AS i
LEFT JOIN first AS f ON f.id = i.id;
