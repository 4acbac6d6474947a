-- The training pairs. For classification balanced: as many pairs of every label as the rarest label that occurs has, or
-- as the label has that a person gave most often, where that is more. What a person gave stays (`by_hand`), always.
-- With random_labels on, each pair's output is a label drawn by a hash of the input's place: an ablation that shows
-- what the inputs and the form alone teach. (Texts of inputs are read at the end: sorting them takes room.)
WITH
  edited AS MATERIALIZED (SELECT input_id, input FROM review_in_force WHERE verdict = 'edit' AND input IS NOT NULL),
  placed AS (
    SELECT p.task_id, p.input_id, p.output, p.share, p.confidence, p.output_id, p.by_hand, p.random_labels, p.h,
           p.balanced, p.place, max(min(p.alike) OVER t, max(p.certain) OVER t) AS quota
    FROM pair AS p
    WINDOW t AS (PARTITION BY p.task_id)
  ),
  lot AS MATERIALIZED (
    SELECT task_id, text, row_number() OVER (PARTITION BY task_id ORDER BY number) - 1 AS place,
           count(*) OVER (PARTITION BY task_id) AS n
    FROM label
  )
SELECT p.task_id, p.input_id, ifnull(e.input, i.text) AS input, ifnull(l.text, p.output) AS output, p.share,
       p.confidence, p.output_id, p.by_hand
FROM placed AS p
LEFT JOIN input AS i ON i.id = p.input_id
LEFT JOIN edited AS e ON e.input_id = p.input_id
LEFT JOIN lot AS l ON p.random_labels AND l.task_id = p.task_id AND l.place = p.h * p.h % 2147483579 / 7 % l.n
WHERE NOT p.balanced OR p.place <= p.quota;
