-- Every kept input that has an answer, with the first reason for which a filter of answers rejects it, or none; whether
-- the answer is the label that was asked for is not yet looked at. No filter judges an answer that a person gave.
WITH
  screened AS MATERIALIZED (SELECT id, reason FROM input_verdict),
  settled AS (
    SELECT *
    FROM (/* answer, input_verdict as screened */)
    WHERE input_id IN (SELECT id FROM screened WHERE reason IS NULL)
  ),
  rejected(id, rank, reason, detail) AS (
    /* filters of all rows: answer */
  ),
  first AS (
    SELECT id, reason, detail, min(rank) AS rank FROM rejected WHERE id IS NOT NULL GROUP BY id
  )
SELECT a.input_id AS id, a.task_id, CASE WHEN a.by_hand IS NULL THEN ifnull(/* reason: answer */, f.reason) END AS reason,
       CASE WHEN a.by_hand IS NULL THEN ifnull(/* detail: answer */, f.detail) END AS detail,
       i.label AS asked, a.answer, a.share, a.confidence, a.n, a.output_id, a.calibrated, a.by_hand
FROM settled AS a
CROSS JOIN input AS i ON i.id = a.input_id
CROSS JOIN filter_setting AS s ON s.task_id = a.task_id
LEFT JOIN first AS f ON f.id = a.input_id;
