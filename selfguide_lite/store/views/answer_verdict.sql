-- Every kept input that has an answer, with the first reason for which the answer is rejected and the detail, or none
-- where the two are a pair.
WITH
  checked AS MATERIALIZED (/* answer_check */),
  agreed AS MATERIALIZED (/* agreement, answer_check as checked */),
  disagreed AS MATERIALIZED (/* filter_answer_disagreement, answer_check as checked, agreement as agreed */)
SELECT c.id, c.task_id, ifnull(c.reason, CASE WHEN d.id IS NOT NULL THEN 'disagreement' END) AS reason,
       CASE WHEN c.reason IS NULL THEN d.detail ELSE c.detail END AS detail,
       c.asked, c.answer, c.share, c.confidence, c.n, c.output_id, c.calibrated
FROM checked AS c
LEFT JOIN disagreed AS d ON d.id = c.id;
