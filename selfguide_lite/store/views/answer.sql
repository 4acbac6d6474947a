-- Each input's answer: the one that won the vote; or, where calibrate is on and enough kept inputs are answered, the
-- label that has most when every label's share is divided by its mean over the pool (label_prior), multiplied by the
-- share that the label has in life (label.share, else equal), and the results are made to add up to 1
-- (batch calibration, arXiv 2309.17249); or the one that a person gave (by_hand), whatever was voted. `share` is the winner's share of the votes, `confidence` its calibrated share,
-- or its share where nothing is calibrated. (Texts that nothing is calibrated or put together from are read at the end:
-- sorting them takes room.) Objects vote field by field (field_answer), where consistency_filter is on.
WITH
  calibrated AS MATERIALIZED (
    SELECT task_id, calibrate_min_inputs FROM filter_setting WHERE calibrate AND labelled
  ),
  counted AS MATERIALIZED (
    SELECT v.task_id, v.input_id, v.output_id, v.n, v.weight, v.share, v.place,
           CASE WHEN v.task_id IN (SELECT task_id FROM calibrated) OR v.task_id IN (SELECT task_id FROM field)
             THEN v.answer END AS answer
    FROM vote AS v
    WHERE v.place = 1 OR v.task_id IN (SELECT task_id FROM calibrated) OR v.task_id IN (SELECT task_id FROM field)
  ),
  prior AS MATERIALIZED (
    SELECT p.task_id, p.label, nullif(p.mean, 0) AS mean, ifnull(l.share, 1.0) AS wanted
    FROM (/* label_prior, vote as counted */) AS p
    JOIN calibrated AS c ON c.task_id = p.task_id
    JOIN label AS l ON l.task_id = p.task_id AND l.text = p.label
    WHERE p.n >= c.calibrate_min_inputs
  ),
  weighed AS (
    SELECT c.*, p.label IS NOT NULL AS calibrated, ifnull(c.share / p.mean * p.wanted, 0.0) AS lean
    FROM counted AS c
    LEFT JOIN prior AS p ON p.task_id = c.task_id AND p.label = c.answer
  ),
  placed AS (
    SELECT w.*, sum(w.lean) OVER o AS leans, row_number() OVER o AS rank
    FROM weighed AS w
    WINDOW o AS (
      PARTITION BY w.input_id ORDER BY w.lean DESC, w.place ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
  ),
  by_field AS MATERIALIZED (
    SELECT f.input_id, f.answer, f.share
    FROM (/* field_answer, vote as counted */) AS f
    WHERE f.task_id IN (SELECT task_id FROM filter_setting WHERE consistency_filter)
  )
SELECT p.task_id, p.input_id, coalesce(f.answer, p.answer, o.label, o.text) AS answer, ifnull(f.share, p.share) AS share,
       ifnull(f.share, CASE WHEN p.leans > 0 THEN p.lean / p.leans ELSE p.share END) AS confidence, p.n,
       p.output_id, p.calibrated, NULL AS by_hand
FROM placed AS p
LEFT JOIN output AS o ON o.id = p.output_id
LEFT JOIN by_field AS f ON f.input_id = p.input_id
WHERE p.rank = 1 AND p.input_id NOT IN (SELECT input_id FROM by_hand WHERE answer IS NOT NULL)
UNION ALL
SELECT task_id, input_id, answer, 1.0, 1.0, 0, NULL, 0, how FROM by_hand WHERE answer IS NOT NULL;
