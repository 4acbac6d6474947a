-- Rejects the answers of inputs that are not the label which was asked for; inputs that nobody asked a label for pass.
-- It lists nothing where too few pairs of the rarest label would be left (see agreement, fallback).
SELECT a.id AS id, 'asked for ' || a.asked || ', answered ' || a.answer AS detail
FROM answer_check AS a
CROSS JOIN agreement AS g ON g.task_id = a.task_id
WHERE a.asked <> a.answer AND a.by_hand IS NULL AND g.enabled AND NOT g.fallback;
