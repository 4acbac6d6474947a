-- Rejects outputs of a classification task in which none of its labels occurs.
-- rank: 40
SELECT o.id, 'none of the labels' AS detail
FROM task AS t
CROSS JOIN input AS i ON i.task_id = t.id
CROSS JOIN output AS o ON o.input_id = i.id
WHERE t.kind = 'classification' AND o.label IS NULL AND o.answer_length > 0;
