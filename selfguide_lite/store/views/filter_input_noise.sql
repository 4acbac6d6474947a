-- Rejects inputs that contain one of the task's noise terms: a chat assistant's stock phrases, or marks of the prompt.
-- Case is ignored for A to Z. The detail is the term; the first in alphabetical order where there are several.
SELECT i.id, min(t.term) AS detail
FROM filter_setting AS s
JOIN noise_term AS t ON t.task_id = s.task_id
JOIN input AS i ON i.task_id = t.task_id
WHERE s.noise_filter AND instr(lower(i.text), lower(t.term))
GROUP BY i.id;
