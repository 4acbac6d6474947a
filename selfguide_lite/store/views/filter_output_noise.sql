-- Rejects outputs that contain one of the task's noise terms: a chat assistant's stock phrases, or marks of the prompt.
-- Case is ignored for A to Z. The detail is the term; the first in alphabetical order where there are several.
SELECT o.id, min(t.term) AS detail
FROM filter_setting AS s
JOIN noise_term AS t ON t.task_id = s.task_id
JOIN input AS i ON i.task_id = t.task_id
JOIN output AS o ON o.input_id = i.id
WHERE s.noise_filter AND instr(lower(o.text), lower(t.term))
GROUP BY o.id;
