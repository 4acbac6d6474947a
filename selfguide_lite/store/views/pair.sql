-- Each kept input with its answer where no filter rejects it, before balancing. `place` orders a label's pairs by
-- a hash of dataset_seed and the input's place (round and prompt, else its id), so that balancing draws from all rounds
-- and always draws the same; `alike` is the number of pairs that have the label.
WITH
  hashed AS (
    SELECT a.task_id, a.id AS input_id, i.text AS input, a.answer AS output, a.share, a.confidence, a.output_id,
           s.labelled, s.balance, s.random_labels, s.dataset_seed,
           (ifnull(i.round * 1000003 + i.prompt, i.id) % 2147483579 * 48271 + s.dataset_seed * 69621 + 12345)
             % 2147483579 AS h
    FROM answer_verdict AS a
    JOIN input AS i ON i.id = a.id
    JOIN filter_setting AS s ON s.task_id = a.task_id
    WHERE a.reason IS NULL
  )
SELECT task_id, input_id, input, output, share, confidence, output_id, random_labels, h,
       labelled AND balance AS balanced,
       row_number() OVER w AS place, count(*) OVER w AS alike
FROM hashed
WINDOW w AS (
  PARTITION BY task_id, CASE WHEN labelled THEN output END
  ORDER BY h * h % 2147483579 * h % 2147483579, input_id
  ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
);
