-- Every distinct answer to an input with its share of the votes; place 1 is the answer taken: the largest share, the
-- shortest of those tied, the earliest of those equally short. For classification the answer is the label found in the
-- text. With consistency_filter off the samples do not vote: the first (for scores the likeliest) one is the answer.
WITH
  ballot AS (
    SELECT v.input_id, s.task_id, s.consistency_filter, s.min_share,
           CASE s.kind WHEN 'classification' THEN o.label ELSE o.text END AS answer,
           o.id, o.weight
    FROM output_verdict AS v
    JOIN output AS o ON o.id = v.id
    JOIN input AS i ON i.id = v.input_id
    JOIN filter_setting AS s ON s.task_id = i.task_id
    WHERE v.reason IS NULL
  ),
  tally AS (
    SELECT task_id, input_id, answer, min(id) AS output_id, count(*) AS n, sum(weight) AS weight,
           max(weight) AS heaviest, consistency_filter, min_share
    FROM ballot
    GROUP BY input_id, answer
  )
SELECT task_id, input_id, answer, output_id, n, weight,
       weight / sum(weight) OVER (PARTITION BY input_id) AS share,
       row_number() OVER (
         PARTITION BY input_id
         ORDER BY CASE WHEN consistency_filter THEN weight ELSE heaviest END DESC,
                  CASE WHEN consistency_filter THEN length(answer) ELSE 0 END, output_id
       ) AS place,
       CASE WHEN consistency_filter THEN min_share ELSE 0 END AS min_share
FROM tally;
