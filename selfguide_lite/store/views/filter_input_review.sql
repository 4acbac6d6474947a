-- Rejects inputs that a person rejected in a review.
-- rank: 1
SELECT input_id AS id, 'rejected by ' || reviewer AS detail
FROM review_in_force
WHERE verdict = 'reject';
