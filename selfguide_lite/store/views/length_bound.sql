-- The length interval in force, per task and part (input, output), from the seed examples' lengths in characters.
-- By length_rule. `range`: kept from a length_factor-th of the shortest to length_factor times the longest, both ends
-- included. `deviations`: kept when low < length < high: mean +- length_deviations population standard deviations;
-- where all examples are equally long, mean +- a slack of length_slack_share of the mean, at least length_slack_min.
-- `spread` is n^2 times the variance in whole numbers, so that filters can decide exactly and without a square root;
-- the deviation shown is its root by Newton's method, because not every SQLite has sqrt().
WITH RECURSIVE
  part(task_id, part, length) AS (
    SELECT task_id, 'input', length(input) FROM example
    UNION ALL
    SELECT task_id, 'output', length(output) FROM example
  ),
  moment AS (
    SELECT task_id, part, count(*) AS n, sum(length) AS total, min(length) AS shortest, max(length) AS longest,
           count(*) * sum(length * length) - sum(length) * sum(length) AS spread
    FROM part
    GROUP BY task_id, part
  ),
  newton(task_id, part, spread, root, turn) AS (
    SELECT task_id, part, spread, 1.0 + spread / 2.0, 0 FROM moment WHERE spread > 0
    UNION ALL
    SELECT task_id, part, spread, (root + spread / root) / 2, turn + 1 FROM newton WHERE turn < 60
  ),
  bound AS (
    SELECT m.*,
           1.0 * m.total / m.n AS mean,
           ifnull(w.root / m.n, 0.0) AS deviation,
           s.length_rule AS rule,
           s.length_factor AS factor,
           s.length_deviations AS deviations,
           max(s.length_slack_min, s.length_slack_share * m.total / m.n) AS slack,
           CASE m.part WHEN 'input' THEN s.input_length_filter ELSE s.output_length_filter END AS enabled
    FROM moment AS m
    JOIN filter_setting AS s ON s.task_id = m.task_id
    LEFT JOIN newton AS w ON w.task_id = m.task_id AND w.part = m.part AND w.turn = 60
  )
SELECT task_id, part, n, mean, deviation,
       CASE WHEN rule = 'range' THEN 1.0 * shortest / factor
            WHEN spread > 0 THEN mean - deviations * deviation ELSE mean - slack END AS low,
       CASE WHEN rule = 'range' THEN 1.0 * longest * factor
            WHEN spread > 0 THEN mean + deviations * deviation ELSE mean + slack END AS high,
       enabled, rule, total, spread, deviations, slack, shortest, longest, factor
FROM bound;
