-- Rejects the answers of inputs whose winner has too small a share of the votes (calibrated where calibration is on):
-- where consistency_filter is on, less than min_vote_share.
-- rank: 10
SELECT a.input_id AS id, printf('share %.1f %%, at least %.1f %% wanted', 100 * a.confidence, 100 * s.min_vote_share) AS detail
FROM answer AS a
CROSS JOIN filter_setting AS s ON s.task_id = a.task_id
WHERE s.consistency_filter AND a.confidence < s.min_vote_share;
