-- How much a model prefers each label: the label's mean share over the kept inputs that have a valid answer, before any
-- filter of answers. `n` is the number of those inputs. Classification only.
WITH
  total AS (
    SELECT v.task_id, v.answer, sum(v.share) AS share, sum(v.place = 1) AS first
    FROM vote AS v
    WHERE v.task_id IN (SELECT task_id FROM label)
      AND v.input_id IN (SELECT id FROM input_verdict WHERE reason IS NULL)
    GROUP BY v.task_id, v.answer
  ),
  leaning AS (
    SELECT l.task_id, l.text AS label, ifnull(t.share, 0.0) AS share, sum(t.first) OVER (PARTITION BY l.task_id) AS n
    FROM label AS l
    LEFT JOIN total AS t ON t.task_id = l.task_id AND t.answer = l.text
  )
SELECT task_id, label, share / n AS mean, n
FROM leaning
WHERE n > 0;
