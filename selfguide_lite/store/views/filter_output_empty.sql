-- Rejects outputs without any visible character: there is nothing to learn from them.
-- rank: 10
SELECT id, 'no text' AS detail
FROM output
WHERE answer_length = 0;
