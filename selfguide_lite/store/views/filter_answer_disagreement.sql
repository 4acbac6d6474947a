-- Rejects the answers of inputs that are not the label which was asked for; inputs that nobody asked a label for pass.
-- It lists nothing where too few pairs of the rarest label would be left (see agreement, fallback).
SELECT c.id, 'asked for ' || c.asked || ', answered ' || c.answer AS detail
FROM answer_check AS c
CROSS JOIN agreement AS g ON g.task_id = c.task_id
WHERE c.asked <> c.answer AND g.enabled AND NOT g.fallback;
