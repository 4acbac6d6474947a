-- The training pairs. For classification balanced: as many pairs of every label as the rarest label that occurs has, or
-- as the label has that a person gave most often, where that is more. What a person gave stays (`by_hand`), always.
-- With random_labels on, each pair's output is a label drawn by a hash of the input's place: an ablation that shows
-- what the inputs and the form alone teach.
WITH
  kept AS (SELECT *, max(min(alike) OVER t, max(certain) OVER t) AS quota FROM pair WINDOW t AS (PARTITION BY task_id)),
  lot AS MATERIALIZED (
    SELECT task_id, text, row_number() OVER (PARTITION BY task_id ORDER BY number) - 1 AS place,
           count(*) OVER (PARTITION BY task_id) AS n
    FROM label
  )
SELECT k.task_id, k.input_id, k.input, ifnull(l.text, k.output) AS output, k.share, k.confidence, k.output_id, k.by_hand
FROM kept AS k
LEFT JOIN lot AS l ON k.random_labels AND l.task_id = k.task_id
  AND l.place = k.h * k.h % 2147483579 / 7 % l.n
WHERE NOT k.balanced OR k.place <= k.quota;
