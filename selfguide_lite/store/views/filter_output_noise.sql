-- Rejects outputs that contain one of the task's noise terms: a chat assistant's stock phrases, or marks of the prompt.
-- Case is ignored for A to Z. The detail is the term; the first in alphabetical order where there are several.
-- Which text contains which term is kept up to date in `output_noise` by triggers on `output` and `noise_term`.
-- (CROSS JOIN, here and elsewhere, keeps SQLite to this order of loops: few rows first.)
-- rank: 20
SELECT n.output_id AS id, min(n.term) AS detail
FROM output_noise AS n
CROSS JOIN output AS o ON o.id = n.output_id
CROSS JOIN input AS i ON i.id = o.input_id
CROSS JOIN filter_setting AS s ON s.task_id = i.task_id
WHERE s.noise_filter
GROUP BY n.output_id;
