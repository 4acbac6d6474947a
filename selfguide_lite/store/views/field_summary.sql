-- What the answers of a task with a schema hold, by field, and in the row without a field of the whole object: how many
-- answers there are, how many of them are empty there (null or an empty list; for the whole: in all fields), how many
-- different values there are, and the mean share of the value that won the vote.
WITH
  answered AS MATERIALIZED (
    SELECT a.task_id, a.input_id, a.answer
    FROM answer AS a
    WHERE a.task_id IN (SELECT task_id FROM field) AND json_valid(a.answer)
  ),
  given AS MATERIALIZED (
    SELECT a.task_id, a.input_id, f.number, f.name, e.value, e.type = 'null' OR e.value = '[]' AS empty
    FROM answered AS a
    CROSS JOIN json_each(a.answer) AS e
    CROSS JOIN field AS f ON f.task_id = a.task_id AND f.name = e.key
  ),
  sure AS (SELECT task_id, number, avg(share) AS share FROM field_vote WHERE place = 1 GROUP BY task_id, number)
SELECT g.task_id, g.number, g.name AS field, count(*) AS answers, sum(g.empty) AS empty,
       1.0 * sum(g.empty) / count(*) AS empty_share, count(DISTINCT g.value) AS different, s.share AS agreement
FROM given AS g
LEFT JOIN sure AS s ON s.task_id = g.task_id AND s.number = g.number
GROUP BY g.task_id, g.number
UNION ALL
SELECT task_id, NULL, NULL, count(*), sum(empty), 1.0 * sum(empty) / count(*), NULL, NULL
FROM (SELECT task_id, input_id, min(empty) AS empty FROM given GROUP BY input_id)
GROUP BY task_id;
