-- Rejects outputs in which no answer is found, where the kind of task needs one: for classification, none of the labels.
-- rank: 40
SELECT o.id, CASE WHEN k.labelled THEN 'none of the labels' ELSE 'no answer found' END AS detail
FROM kind AS k
CROSS JOIN task AS t ON t.kind = k.name
CROSS JOIN input AS i ON i.task_id = t.id
CROSS JOIN output AS o ON o.input_id = i.id
WHERE k.parsed AND o.label IS NULL AND o.answer_length > 0;
