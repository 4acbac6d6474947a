-- The training pairs. For classification balanced: as many pairs of every label as the rarest label that occurs has.
-- With random_labels on, each pair's output is a label drawn by a hash of the input's place: an ablation that shows
-- what the inputs and the form alone teach.
WITH
  kept AS MATERIALIZED (SELECT * FROM pair),
  quota AS (
    SELECT task_id, min(n) AS n
    FROM (SELECT task_id, count(*) AS n FROM kept WHERE balanced GROUP BY task_id, output)
    GROUP BY task_id
  ),
  lot AS MATERIALIZED (
    SELECT task_id, text, row_number() OVER (PARTITION BY task_id ORDER BY number) - 1 AS place,
           count(*) OVER (PARTITION BY task_id) AS n
    FROM label
  )
SELECT k.task_id, k.input_id, k.input, ifnull(l.text, k.output) AS output, k.share, k.confidence, k.output_id
FROM kept AS k
LEFT JOIN quota AS q ON q.task_id = k.task_id
LEFT JOIN lot AS l ON k.random_labels AND l.task_id = k.task_id
  AND l.place = k.h * k.h % 2147483579 / 7 % l.n
WHERE NOT k.balanced OR k.place <= q.n;
