-- Rejects the answers of inputs whose calibrated share is under min_confidence; at 0, the default, none.
-- rank: 20
SELECT a.input_id AS id,
       printf('confidence %.1f %%, at least %.1f %% wanted', 100 * a.confidence, 100 * s.min_confidence) AS detail
FROM answer AS a
CROSS JOIN filter_setting AS s ON s.task_id = a.task_id
WHERE a.confidence < s.min_confidence;
