-- Every distinct value of every field in the objects drawn for an input, as JSON, with its share of all that were drawn,
-- rejected ones too; place 1 is the value that won: the largest share, the earliest of those tied.
WITH
  drawn AS MATERIALIZED (
    SELECT v.task_id, v.input_id, v.output_id, v.n, v.weight,
           (SELECT sum(o.weight) FROM output AS o WHERE o.input_id = v.input_id) AS total,
           CASE WHEN json_valid(v.answer) THEN v.answer ELSE '{}' END AS object
    FROM vote AS v
    WHERE v.task_id IN (SELECT task_id FROM field)
  ),
  given AS (
    SELECT d.task_id, d.input_id, d.output_id, d.n, d.weight, d.total, f.number, f.name,
           CASE e.type WHEN 'text' THEN json_quote(e.value) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'
             WHEN 'null' THEN 'null' WHEN 'real' THEN rtrim(rtrim(printf('%.6f', e.value), '0'), '.')
             ELSE CAST(e.value AS TEXT) END AS value
    FROM drawn AS d
    CROSS JOIN json_each(d.object) AS e
    CROSS JOIN field AS f ON f.task_id = d.task_id AND f.name = e.key
  )
SELECT task_id, input_id, number, name, value, sum(weight) / total AS share, sum(n) AS n,
       row_number() OVER (PARTITION BY input_id, number ORDER BY sum(weight) DESC, min(output_id)) AS place
FROM given
GROUP BY input_id, number, value;
