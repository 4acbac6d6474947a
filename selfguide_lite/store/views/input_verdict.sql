-- Every input with the first reason for which it is rejected and the detail, or none where it stays in the pool.
WITH checked AS MATERIALIZED (SELECT * FROM input_check)
SELECT c.id, c.task_id, CASE WHEN d.id IS NULL THEN c.reason ELSE 'duplicate' END AS reason,
       ifnull(d.detail, c.detail) AS detail
FROM checked AS c
LEFT JOIN (/* filter_input_duplicate, input_check as checked */) AS d ON d.id = c.id;
