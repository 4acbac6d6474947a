-- Every output that a filter rejects, with the first reason and its detail.
WITH
  rejected(id, rank, reason, detail) AS (
    /* filters: output */
  )
SELECT id, reason, detail, min(rank) AS rank
FROM rejected
WHERE id IS NOT NULL
GROUP BY id;
