-- How much a model leans to each label: the label's mean share over the kept inputs that have a valid answer, before any
-- filter of answers. `n` is the number of those inputs. Classification only.
WITH
  total AS MATERIALIZED (
    SELECT v.task_id, v.answer, sum(v.share) AS share, sum(v.place = 1) AS first
    FROM vote AS v
    WHERE v.task_id IN (SELECT task_id FROM label)
      AND v.input_id IN (SELECT id FROM input_verdict WHERE reason IS NULL)
    GROUP BY v.task_id, v.answer
  ),
  asked AS (SELECT task_id, sum(first) AS n FROM total GROUP BY task_id)
SELECT l.task_id, l.text AS label, ifnull(t.share, 0.0) / p.n AS mean, p.n
FROM asked AS p
JOIN label AS l ON l.task_id = p.task_id
LEFT JOIN total AS t ON t.task_id = l.task_id AND t.answer = l.text;
