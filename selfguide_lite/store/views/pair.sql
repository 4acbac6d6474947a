-- Each kept input with its answer where no filter rejects it, before balancing. `place` orders a label's pairs: first
-- those that a person answered (`certain` of them), then by a hash of dataset_seed and the input's place (round and
-- prompt, else its id), so that balancing draws from all rounds and always draws the same; `alike` is the number of pairs
-- that have the label. An input that a person edited has the edited text.
WITH
  edited AS MATERIALIZED (SELECT input_id, input FROM review_in_force WHERE verdict = 'edit' AND input IS NOT NULL),
  hashed AS (
    SELECT a.task_id, a.id AS input_id, a.answer AS output, a.share, a.confidence,
           a.output_id, a.by_hand, s.labelled, s.balance, s.random_labels, s.dataset_seed,
           (ifnull(i.round * 1000003 + i.prompt, i.id) % 2147483579 * 48271 + s.dataset_seed * 69621 + 12345)
             % 2147483579 AS h
    FROM answer_verdict AS a
    CROSS JOIN input AS i ON i.id = a.id
    CROSS JOIN filter_setting AS s ON s.task_id = a.task_id
    WHERE a.reason IS NULL
  ),
  placed AS (
    SELECT *, row_number() OVER w AS place, count(*) OVER w AS alike, count(by_hand) OVER w AS certain
    FROM hashed
    WINDOW w AS (
      PARTITION BY task_id, CASE WHEN labelled THEN output END
      ORDER BY by_hand IS NULL, h * h % 2147483579 * h % 2147483579, input_id
      ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
  )
SELECT p.task_id, p.input_id, ifnull(e.input, i.text) AS input, p.output, p.share, p.confidence, p.output_id, p.by_hand,
       p.random_labels, p.h, p.labelled AND p.balance AS balanced, p.place, p.alike, p.certain
FROM placed AS p
LEFT JOIN input AS i ON i.id = p.input_id
LEFT JOIN edited AS e ON e.input_id = p.input_id;
