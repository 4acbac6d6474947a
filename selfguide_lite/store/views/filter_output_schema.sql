-- Rejects outputs that are no object of the task's schema, where its kind has one: of an object that decoding held to the
-- schema there is none; text of a server, or put in with SQL, may be anything. An object that was found in a text, and
-- read by its fields' types, is there in one form (output.label) and fits.
-- rank: 45
WITH
  given AS MATERIALIZED (
    SELECT o.id, t.id AS task_id, CASE WHEN json_valid(o.text) THEN o.text ELSE '0' END AS text
    FROM kind AS k
    CROSS JOIN task AS t ON t.kind = k.name
    CROSS JOIN input AS i ON i.task_id = t.id
    CROSS JOIN output AS o ON o.input_id = i.id
    WHERE k.structured AND o.label IS NULL AND o.answer_length > 0
  ),
  part AS MATERIALIZED (
    SELECT g.id, g.task_id, e.key, e.type, e.value, f.number, f.name, f.type AS wanted, f.many, f.optional,
           f."values", f.max_length, f.max_items
    FROM given AS g
    CROSS JOIN json_each(CASE json_type(g.text) WHEN 'object' THEN g.text ELSE '{}' END) AS e
    LEFT JOIN field AS f ON f.task_id = g.task_id AND f.name = e.key
  ),
  item AS (
    SELECT id, name, wanted, "values", max_length, type, value FROM part WHERE NOT many AND type <> 'null'
    UNION ALL
    SELECT p.id, p.name, p.wanted, p."values", p.max_length, e.type, e.value
    FROM part AS p
    CROSS JOIN json_each(CASE p.type WHEN 'array' THEN p.value ELSE '[]' END) AS e
    WHERE p.many
  ),
  problem(id, detail) AS (
    SELECT id, 'no object' FROM given WHERE json_type(text) <> 'object'
    UNION ALL
    SELECT id, key || ' is no field' FROM part WHERE number IS NULL
    UNION ALL
    SELECT g.id, f.name || ' is missing'
    FROM given AS g
    CROSS JOIN field AS f ON f.task_id = g.task_id
    WHERE json_type(g.text) = 'object' AND NOT f.optional
      AND NOT EXISTS (SELECT 1 FROM part AS p WHERE p.id = g.id AND p.number = f.number AND p.type <> 'null')
    UNION ALL
    SELECT id, name || ' is no list' FROM part WHERE many AND type NOT IN ('array', 'null')
    UNION ALL
    SELECT id, name || ' has too many items' FROM part WHERE type = 'array' AND json_array_length(value) > max_items
    UNION ALL
    SELECT id, name || ' is no ' || wanted
    FROM item
    WHERE NOT CASE wanted
      WHEN 'integer' THEN type = 'integer'
      WHEN 'number' THEN type IN ('integer', 'real')
      WHEN 'boolean' THEN type IN ('true', 'false')
      WHEN 'date' THEN type = 'text' AND ifnull(date(value), '') = value
      WHEN 'enum' THEN type = 'text' AND value IN (SELECT v.value FROM json_each("values") AS v)
      ELSE type = 'text' AND value <> '' END
    UNION ALL
    SELECT id, name || ' is too long' FROM item WHERE wanted = 'string' AND length(value) > max_length
  )
SELECT id, min(detail) AS detail FROM problem GROUP BY id;
