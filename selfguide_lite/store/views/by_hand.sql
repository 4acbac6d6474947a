-- The answers that a person gave: those of given rows, while given_weight is not 0, and of inputs that were accepted or
-- edited in a review. They stand above every vote and filter. Without an answer: only the input was accepted. An answer
-- that is no label any more counts no more.
WITH
  given AS (
    SELECT i.task_id, i.id AS input_id, i.answer, 'given' AS how
    FROM filter_setting AS s
    CROSS JOIN input AS i ON i.task_id = s.task_id
    WHERE i.origin = 'given' AND s.given_weight > 0 AND i.id NOT IN (SELECT input_id FROM review_in_force)
    UNION ALL
    SELECT task_id, input_id, answer, verdict FROM review_in_force WHERE verdict <> 'reject'
  )
SELECT g.task_id, g.input_id, g.answer, g.how
FROM given AS g
CROSS JOIN filter_setting AS s ON s.task_id = g.task_id
WHERE g.answer IS NULL OR NOT s.labelled
  OR g.answer IN (SELECT l.text FROM label AS l WHERE l.task_id = g.task_id);
