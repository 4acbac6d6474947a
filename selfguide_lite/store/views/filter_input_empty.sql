-- Rejects inputs without any visible character: there is nothing to learn from them.
-- rank: 10
SELECT id, 'no text' AS detail
FROM input
WHERE folded = '';
