-- Rejects answers whose label the task had in another version and has no more.
-- rank: 45
SELECT o.id, o.label || ' is no label any more' AS detail
FROM task AS t
CROSS JOIN kind AS k ON k.name = t.kind
CROSS JOIN input AS i ON i.task_id = t.id
CROSS JOIN output AS o ON o.input_id = i.id
WHERE t.version > 1 AND k.labelled AND o.label IS NOT NULL
  AND o.label NOT IN (SELECT l.text FROM label AS l WHERE l.task_id = t.id);
