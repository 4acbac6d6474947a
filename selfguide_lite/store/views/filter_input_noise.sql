-- Rejects inputs that contain one of the task's noise terms: a chat assistant's stock phrases, or marks of the prompt.
-- Case is ignored for A to Z. The detail is the term; the first in alphabetical order where there are several.
-- Which text contains which term is kept up to date in `input_noise` by triggers on `input` and `noise_term`.
-- rank: 20
SELECT n.input_id AS id, min(n.term) AS detail
FROM input_noise AS n
CROSS JOIN input AS i ON i.id = n.input_id
CROSS JOIN filter_setting AS s ON s.task_id = i.task_id
WHERE s.noise_filter
GROUP BY n.input_id;
