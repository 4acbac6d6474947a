-- Rejects inputs that repeat an earlier one (by round and prompt) which passes all
-- other filters: the same after folding case and white space,
-- or, where near_duplicate_threshold is set, sharing at least that part of its character shingles (Jaccard).
WITH
  survivor AS MATERIALIZED (
    SELECT c.id, i.task_id, i.folded, i.round, i.prompt
    FROM input_check AS c
    JOIN input AS i ON i.id = c.id
    WHERE c.reason IS NULL
  ),
  twin AS (
    SELECT id, first_value(id) OVER (PARTITION BY task_id, folded ORDER BY round, prompt, id) AS twin_id FROM survivor
  )
SELECT id, 'same as input ' || twin_id AS detail
FROM twin
WHERE twin_id <> id;
