-- Rejects outputs that are much shorter or longer than the seed examples' outputs (see length_bound).
-- rank: 30
SELECT o.id, printf('%d characters, kept between %.1f and %.1f', o.length, b.low, b.high) AS detail
FROM length_bound AS b
CROSS JOIN input AS i ON i.task_id = b.task_id
CROSS JOIN output AS o ON o.input_id = i.id
WHERE b.part = 'output' AND b.enabled
  AND NOT CASE WHEN b.rule = 'range' THEN o.length BETWEEN b.low AND b.high
    WHEN b.spread > 0
    THEN (b.n * o.length - b.total) * (b.n * o.length - b.total) < b.deviations * b.deviations * b.spread
    ELSE abs(o.length - b.mean) < b.slack END;
