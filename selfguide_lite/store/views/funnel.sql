-- Counts by stage and reason, from prompts sent to pairs kept; `kept` is what goes on to the next stage.
-- input: prompts that were answered; output: samples of the kept inputs; answer: kept inputs; dataset: answered inputs.
WITH
  pool AS MATERIALIZED (SELECT id, task_id, reason FROM input_verdict),
  judged AS MATERIALIZED (
    SELECT p.task_id, v.input_id, v.reason, count(*) AS n
    FROM output_verdict AS v
    JOIN pool AS p ON p.id = v.input_id AND p.reason IS NULL
    GROUP BY v.input_id, v.reason
  ),
  asked AS (SELECT input_id, sum(reason IS NULL) AS passed FROM judged GROUP BY input_id),
  settled AS (
    SELECT p.task_id,
           CASE WHEN a.input_id IS NULL THEN 'unanswered'
                WHEN NOT a.passed THEN 'no valid answer'
                WHEN c.input_id IS NULL THEN 'inconsistent'
                ELSE 'kept' END AS reason
    FROM pool AS p
    LEFT JOIN asked AS a ON a.input_id = p.id
    LEFT JOIN answer AS c ON c.input_id = p.id
    WHERE p.reason IS NULL
  )
SELECT task_id, 'input' AS stage, ifnull(reason, 'kept') AS reason, count(*) AS n FROM pool GROUP BY 1, 3
UNION ALL
SELECT task_id, 'output', ifnull(reason, 'kept'), sum(n) FROM judged GROUP BY 1, 3
UNION ALL
SELECT task_id, 'answer', reason, count(*) FROM settled GROUP BY 1, 3
UNION ALL
SELECT t.id, 'dataset', 'balance', d.answers - d.pairs
FROM task AS t
JOIN (SELECT t.id, (SELECT count(*) FROM pair AS p WHERE p.task_id = t.id) AS answers,
             (SELECT count(*) FROM dataset AS d WHERE d.task_id = t.id) AS pairs FROM task AS t) AS d ON d.id = t.id
WHERE d.answers > d.pairs
UNION ALL
SELECT task_id, 'dataset', 'kept', count(*) FROM dataset GROUP BY 1;
