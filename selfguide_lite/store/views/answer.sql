-- Each input's consistent answer: the one with the most votes, where its share reaches min_share.
SELECT task_id, input_id, answer, share, n, output_id
FROM vote
WHERE place = 1 AND share >= min_share;
