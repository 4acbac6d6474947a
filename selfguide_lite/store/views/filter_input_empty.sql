-- Rejects inputs without any visible character: there is nothing to learn from them.
SELECT id, 'no text' AS detail
FROM input
WHERE folded = '';
