-- The verdict of a person on each input that was reviewed: the newest one that is not undone; skipping is none. `input` is
-- the text that took the place of the input's, `answer` the right answer; the original stays where it was.
SELECT r.task_id, r.input_id, r.id AS review_id, r.verdict, r.input, r.answer, r.reviewer
FROM review AS r
WHERE r.id = (
  SELECT max(n.id)
  FROM review AS n
  WHERE n.input_id = r.input_id AND n.verdict IN ('accept', 'reject', 'edit')
    AND NOT EXISTS (SELECT 1 FROM review AS u WHERE u.undoes = n.id)
);
