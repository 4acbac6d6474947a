-- Rejects the answers of inputs whose winner has too small a share of the votes (calibrated where calibration is on), or
-- too few of them: where consistency_filter is on, less than min_vote_share, or fewer samples than min_votes.
-- rank: 10
SELECT a.input_id AS id,
       CASE WHEN a.confidence < s.min_vote_share THEN
         printf('share %.1f %%, at least %.1f %% wanted', 100 * a.confidence, 100 * s.min_vote_share)
       ELSE printf('votes %d, at least %d wanted', a.n, s.min_votes) END AS detail
FROM answer AS a
CROSS JOIN filter_setting AS s ON s.task_id = a.task_id
WHERE s.consistency_filter AND (a.confidence < s.min_vote_share OR a.by_hand IS NULL AND a.n < s.min_votes);
