-- Rejects inputs that are much shorter or longer than the seed examples' inputs (see length_bound), and with the rule
-- `range` those that were cut before their end: the writer stops where a text is longer than the rule allows.
-- rank: 30
SELECT i.id, CASE WHEN b.rule = 'range' AND i.finish_reason = 'length' AND i.length BETWEEN b.low AND b.high
                  THEN printf('cut after %d tokens', i.completion_tokens)
                  ELSE printf('%d characters, kept between %.1f and %.1f', i.length, b.low, b.high) END AS detail
FROM length_bound AS b
CROSS JOIN input AS i ON i.task_id = b.task_id
WHERE b.part = 'input' AND b.enabled
  AND NOT CASE WHEN b.rule = 'range' THEN i.length BETWEEN b.low AND b.high AND ifnull(i.finish_reason, '') <> 'length'
    WHEN b.spread > 0
    THEN (b.n * i.length - b.total) * (b.n * i.length - b.total) < b.deviations * b.deviations * b.spread
    ELSE abs(i.length - b.mean) < b.slack END;
