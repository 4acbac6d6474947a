-- Every distinct value of every field in the objects drawn for an input, as JSON, with its share of all that were drawn,
-- rejected ones too; place 1 is the value that won: the largest share, the earliest of those tied.
WITH
  drawn AS MATERIALIZED (
    SELECT t.id AS task_id, o.input_id, o.id AS output_id, o.weight, sum(o.weight) OVER (PARTITION BY o.input_id) AS total,
           CASE WHEN r.id IS NULL AND json_valid(ifnull(o.label, o.text)) THEN ifnull(o.label, o.text) ELSE '{}' END
             AS object
    FROM kind AS k
    CROSS JOIN task AS t ON t.kind = k.name
    CROSS JOIN input AS i ON i.task_id = t.id
    CROSS JOIN output AS o ON o.input_id = i.id
    LEFT JOIN output_rejected AS r ON r.id = o.id
    WHERE k.structured
  ),
  given AS (
    SELECT d.task_id, d.input_id, d.output_id, d.weight, d.total, f.number, f.name,
           CASE e.type WHEN 'text' THEN json_quote(e.value) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'
             WHEN 'null' THEN 'null' WHEN 'real' THEN rtrim(rtrim(printf('%.6f', e.value), '0'), '.')
             ELSE CAST(e.value AS TEXT) END AS value
    FROM drawn AS d
    CROSS JOIN json_each(d.object) AS e
    CROSS JOIN field AS f ON f.task_id = d.task_id AND f.name = e.key
  )
SELECT task_id, input_id, number, name, value, sum(weight) / total AS share, count(*) AS n,
       row_number() OVER (PARTITION BY input_id, number ORDER BY sum(weight) DESC, min(output_id)) AS place
FROM given
GROUP BY input_id, number, value;
