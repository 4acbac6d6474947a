-- Every kept input that has an answer, with the first reason for which the answer is rejected and the detail, or none
-- where the two are a pair.
WITH
  checked AS MATERIALIZED (/* answer_check */),
  agreed AS MATERIALIZED (/* agreement, answer_check as checked */)
SELECT a.id, a.task_id,
       CASE WHEN a.by_hand IS NULL THEN ifnull(a.reason, /* reason: filter_answer_disagreement */) END AS reason,
       CASE WHEN a.by_hand IS NOT NULL THEN NULL
            WHEN a.reason IS NULL THEN /* detail: filter_answer_disagreement */ ELSE a.detail END AS detail,
       a.asked, a.answer, a.share, a.confidence, a.n, a.output_id, a.calibrated, a.by_hand
FROM checked AS a
LEFT JOIN agreed AS g ON g.task_id = a.task_id;
