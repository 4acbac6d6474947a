-- The training pairs. For classification balanced: as many pairs of every label as the rarest label that occurs has, or
-- as the label has that a person gave most often, where that is more. What a person gave stays (`by_hand`), always.
-- With random_labels on, each pair's output is a label drawn by a hash of the input's place: an ablation that shows
-- what the inputs and the form alone teach. (Pairs are put in order only where something depends on it.)
WITH
  edited AS MATERIALIZED (SELECT input_id, input FROM review_in_force WHERE verdict = 'edit' AND input IS NOT NULL),
  paired AS MATERIALIZED (SELECT * FROM answer_verdict WHERE reason IS NULL),
  ordered AS (
    SELECT a.*
    FROM paired AS a
    WHERE a.task_id IN (SELECT task_id FROM filter_setting WHERE labelled AND balance OR random_labels)
  ),
  placed AS MATERIALIZED (
    SELECT p.task_id, p.input_id, p.h, p.random_labels, p.balanced, p.place, p.alike, p.certain
    FROM (/* pair, answer_verdict as ordered */) AS p
  ),
  quota AS MATERIALIZED (SELECT task_id, max(min(alike), max(certain)) AS n FROM placed GROUP BY task_id),
  excess AS MATERIALIZED (
    SELECT p.input_id
    FROM placed AS p
    CROSS JOIN quota AS q ON q.task_id = p.task_id
    WHERE p.balanced AND p.place > q.n
  ),
  lot AS MATERIALIZED (
    SELECT task_id, text, row_number() OVER (PARTITION BY task_id ORDER BY number) - 1 AS place,
           count(*) OVER (PARTITION BY task_id) AS n
    FROM label
  ),
  drawn AS MATERIALIZED (
    SELECT p.input_id, l.text
    FROM placed AS p
    CROSS JOIN lot AS l ON l.task_id = p.task_id AND l.place = p.h * p.h % 2147483579 / 7 % l.n
    WHERE p.random_labels
  )
SELECT a.task_id, a.id AS input_id, ifnull(e.input, i.text) AS input, ifnull(d.text, a.answer) AS output, a.share,
       a.confidence, a.output_id, a.by_hand
FROM paired AS a
CROSS JOIN input AS i ON i.id = a.id
LEFT JOIN edited AS e ON e.input_id = a.id
LEFT JOIN drawn AS d ON d.input_id = a.id
WHERE a.id NOT IN (SELECT input_id FROM excess);
