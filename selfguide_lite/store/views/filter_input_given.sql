-- Rejects given rows while given_weight is 0; no other filter judges them.
-- rank: 3
SELECT i.id, 'given_weight is 0' AS detail
FROM filter_setting AS s
CROSS JOIN input AS i ON i.task_id = s.task_id
WHERE i.origin = 'given' AND s.given_weight = 0;
