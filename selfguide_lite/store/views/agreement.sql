-- Do the labels that inputs were asked for and those that they are answered with go together? Over the answers that no
-- other filter rejects and no person gave. asked: answers to inputs that were asked for by a label; agreeing: those that are that label;
-- expected: the share that would agree by chance, over the labels the share asked for times the share answered;
-- rarest: the pairs that the rarest label keeps when disagreeing ones go; fallback: agreement_filter is on (enabled)
-- and lists nothing all the same, since that would be fewer than agreement_min_pairs. Classification only.
WITH
  tally AS MATERIALIZED (
    SELECT task_id, CASE WHEN by_hand IS NULL THEN asked END AS asked, answer, count(*) AS n
    FROM answer_check
    WHERE reason IS NULL
    GROUP BY 1, 2, 3
  ),
  label_tally AS (
    SELECT l.task_id,
           ifnull(sum(CASE WHEN t.asked = l.text THEN t.n END), 0) AS asked,
           ifnull(sum(CASE WHEN t.asked IS NOT NULL AND t.answer = l.text THEN t.n END), 0) AS answered,
           ifnull(sum(CASE WHEN t.asked = l.text AND t.answer = l.text THEN t.n END), 0) AS agreeing,
           ifnull(sum(CASE WHEN t.answer = l.text AND ifnull(t.asked, l.text) = l.text THEN t.n END), 0) AS kept
    FROM label AS l
    JOIN tally AS t ON t.task_id = l.task_id
    GROUP BY l.task_id, l.number
  ),
  found AS (
    SELECT task_id, sum(answered) AS asked, sum(agreeing) AS agreeing, min(kept) AS rarest,
           ifnull(sum(1.0 * asked * answered) / sum(answered) / sum(answered), 0.0) AS expected
    FROM label_tally
    GROUP BY task_id
  )
SELECT f.task_id, f.asked, f.agreeing, f.expected, f.rarest, s.agreement_filter AS enabled,
       s.agreement_filter AND f.agreeing < f.asked AND f.rarest < s.agreement_min_pairs AS fallback
FROM found AS f
JOIN filter_setting AS s ON s.task_id = f.task_id;
