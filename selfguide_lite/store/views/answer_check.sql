-- Every kept input that has an answer, with the first reason for which a filter of answers rejects it, or none; whether
-- the answer is the label that was asked for is not yet looked at.
WITH
  screened AS MATERIALIZED (SELECT id, reason FROM input_verdict),
  settled AS MATERIALIZED (
    SELECT *
    FROM (/* answer, input_verdict as screened */)
    WHERE input_id IN (SELECT id FROM screened WHERE reason IS NULL)
  ),
  rejected(id, rank, reason, detail) AS (
    /* filters: answer, answer as settled */
  ),
  first AS (
    SELECT id, reason, detail, min(rank) AS rank FROM rejected WHERE id IS NOT NULL GROUP BY id
  )
SELECT s.input_id AS id, s.task_id, f.reason, f.detail, i.label AS asked, s.answer, s.share, s.confidence, s.n,
       s.output_id, s.calibrated
FROM settled AS s
JOIN input AS i ON i.id = s.input_id
LEFT JOIN first AS f ON f.id = s.input_id;
