-- Rejects objects with a value that must occur in the input (verbatim in the schema) and does not. Case and runs of blanks
-- do not count, nor marks between thousands in the input's numbers. And objects that an input was written from where
-- it lacks a text, a number or a date of theirs (marked as absent when they became answers).
-- rank: 50
WITH
  part AS MATERIALIZED (
    SELECT o.id, i.id AS input_id, f.name, f.type AS wanted, e.type, e.value
    FROM (SELECT DISTINCT task_id FROM field WHERE verbatim) AS t
    CROSS JOIN input AS i ON i.task_id = t.task_id
    CROSS JOIN output AS o ON o.input_id = i.id
    CROSS JOIN json_each(CASE WHEN json_valid(ifnull(o.label, o.text)) THEN ifnull(o.label, o.text) ELSE '{}' END) AS e
    CROSS JOIN field AS f ON f.task_id = t.task_id AND f.name = e.key AND f.verbatim
  ),
  item AS (
    SELECT id, input_id, name, wanted, value FROM part WHERE type NOT IN ('null', 'array', 'object')
    UNION ALL
    SELECT p.id, p.input_id, p.name, p.wanted, e.value
    FROM part AS p
    CROSS JOIN json_each(CASE p.type WHEN 'array' THEN p.value ELSE '[]' END) AS e
  )
SELECT m.id, min(m.name || ': ' || m.value || ' is not in the input') AS detail
FROM item AS m
CROSS JOIN input AS i ON i.id = m.input_id
WHERE NOT CASE
  WHEN m.wanted IN ('integer', 'number')
    THEN instr(i.text, m.value) OR instr(replace(replace(replace(i.text, ',', ''), ' ', ''), '''', ''), m.value)
      OR instr(replace(i.text, '.', ''), m.value)
  ELSE instr(lower(i.text), lower(m.value)) OR instr(ifnull(i.folded, ''), lower(m.value)) END
GROUP BY m.id
UNION ALL
SELECT o.id, 'a value of the object is not in the input that was written from it'
FROM (SELECT DISTINCT task_id FROM field) AS t
CROSS JOIN input AS i ON i.task_id = t.task_id
CROSS JOIN output AS o ON o.input_id = i.id
WHERE o.method = 'asked' AND o.finish_reason = 'absent';
