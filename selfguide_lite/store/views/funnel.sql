-- Counts by stage and reason, from prompts sent to pairs kept; `kept` is what goes on to the next stage.
-- input: prompts that were answered; output: samples of the kept inputs; answer: kept inputs; dataset: answered inputs.
WITH
  pool AS MATERIALIZED (SELECT id, task_id, reason FROM input_verdict),
  kept AS MATERIALIZED (SELECT id FROM pool WHERE reason IS NULL),
  rejected AS MATERIALIZED (
    SELECT o.input_id, r.reason, count(*) AS n
    FROM output_rejected AS r
    CROSS JOIN output AS o ON o.id = r.id
    GROUP BY o.input_id, r.reason
  ),
  sampled AS MATERIALIZED (
    SELECT o.input_id, count(*) AS n FROM output AS o GROUP BY o.input_id
  ),
  passed AS (
    SELECT input_id, sum(n) AS n
    FROM (SELECT input_id, n FROM sampled UNION ALL SELECT input_id, -n FROM rejected)
    GROUP BY input_id
  ),
  judged AS MATERIALIZED (
    SELECT a.task_id, a.id, a.reason,
           CASE WHEN s.labelled AND s.balance THEN a.answer END AS label, a.by_hand IS NOT NULL AS certain
    FROM (/* answer_verdict, input_verdict as pool */) AS a
    JOIN filter_setting AS s ON s.task_id = a.task_id
  ),
  reached(task_id, input_id, how, reason, label, certain) AS (
    SELECT task_id, id, 0, 'unanswered', NULL, 0 FROM pool WHERE reason IS NULL
    UNION ALL SELECT NULL, input_id, 1, 'no valid answer', NULL, 0 FROM sampled
    UNION ALL SELECT task_id, id, 2, ifnull(reason, 'kept'), label, certain FROM judged
  ),
  fate AS (
    SELECT max(task_id) AS task_id, substr(max(how || reason), 2) AS reason, max(label) AS label,
           max(certain) AS certain
    FROM reached
    GROUP BY input_id
    HAVING max(task_id) IS NOT NULL
  ),
  told AS (
    SELECT task_id, reason, label, count(*) AS n,
           max(min(CASE WHEN reason = 'kept' THEN count(*) END) OVER t,
               max(CASE WHEN reason = 'kept' THEN sum(certain) END) OVER t) AS quota
    FROM fate
    GROUP BY task_id, reason, label
    WINDOW t AS (PARTITION BY task_id)
  ),
  step(stage, what) AS (VALUES ('answer', NULL), ('dataset', 'balance'), ('dataset', 'kept'))
SELECT task_id, 'input' AS stage, ifnull(reason, 'kept') AS reason, count(*) AS n FROM pool GROUP BY 1, 3
UNION ALL
SELECT i.task_id, 'output', c.reason, sum(c.n)
FROM (
  SELECT input_id, 'kept' AS reason, n FROM passed WHERE n > 0
  UNION ALL SELECT input_id, reason, n FROM rejected
) AS c
JOIN input AS i ON i.id = c.input_id
WHERE c.input_id IN (SELECT id FROM kept)
GROUP BY 1, 3
UNION ALL
SELECT t.task_id, s.stage, ifnull(s.what, t.reason),
       sum(CASE s.what WHEN 'balance' THEN max(t.n - t.quota, 0) WHEN 'kept' THEN min(t.n, t.quota) ELSE t.n END) AS n
FROM told AS t
CROSS JOIN step AS s
WHERE s.stage = 'answer' OR t.reason = 'kept' AND NOT (s.what = 'balance' AND t.n <= t.quota)
GROUP BY 1, 2, 3;
