-- Rejects inputs that repeat a seed example, after folding case and white space: the model has seen it already.
-- rank: 40
SELECT i.id, 'same as seed example ' || min(e.number) AS detail
FROM example AS e
JOIN input AS i ON i.task_id = e.task_id AND i.folded = e.folded
GROUP BY i.id;
