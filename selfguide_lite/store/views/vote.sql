-- Every distinct answer to an input with its share of the votes of all outputs that were made for the input, rejected
-- ones too; place 1 is the answer that won: the largest share, the shortest of those tied, the earliest of those equally
-- short. For classification the answer is the label found in the text. With consistency_filter off the samples do not
-- vote: the first (for scores the likeliest) one is the answer.
WITH
  tally AS (
    SELECT o.input_id, o.answer_id, sum(o.weight) AS drawn,
           min(CASE WHEN r.id IS NULL THEN o.id END) AS output_id,
           count(*) - count(r.id) AS n,
           sum(CASE WHEN r.id IS NULL THEN o.weight ELSE 0.0 END) AS weight,
           max(CASE WHEN r.id IS NULL THEN o.weight ELSE -1.0 END) AS heaviest,
           min(CASE WHEN r.id IS NULL THEN o.answer_length END) AS length
    FROM output AS o
    LEFT JOIN output_rejected AS r ON r.id = o.id
    GROUP BY o.input_id, o.answer_id
  ),
  placed AS (
    SELECT i.task_id, t.input_id, t.output_id, t.n, t.weight,
           t.weight / sum(t.drawn) OVER w AS share,
           row_number() OVER w AS place
    FROM tally AS t
    JOIN input AS i ON i.id = t.input_id
    JOIN filter_setting AS s ON s.task_id = i.task_id
    WINDOW w AS (
      PARTITION BY t.input_id
      ORDER BY t.n > 0 DESC,
               CASE WHEN s.consistency_filter THEN t.weight ELSE t.heaviest END DESC,
               CASE WHEN s.consistency_filter THEN t.length ELSE 0 END, t.output_id
      ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
  )
SELECT p.task_id, p.input_id, ifnull(o.label, o.text) AS answer, p.output_id, p.n, p.weight,
       ifnull(p.share, 0.0) AS share, p.place
FROM placed AS p
JOIN output AS o ON o.id = p.output_id
WHERE p.n > 0;
