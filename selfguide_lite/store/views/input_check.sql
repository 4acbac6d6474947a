-- Every input with the first reason for which a filter rejects it, or none; duplicates not yet looked at.
WITH
  rejected(id, rank, reason, detail) AS (
    /* filters: input */
  ),
  first AS (
    SELECT id, reason, detail, min(rank) AS rank FROM rejected WHERE id IS NOT NULL GROUP BY id
  )
SELECT i.id, i.task_id, f.reason, f.detail
FROM input AS i
LEFT JOIN first AS f ON f.id = i.id;
