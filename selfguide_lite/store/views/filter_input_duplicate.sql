-- Rejects inputs that repeat an earlier one (by round and prompt; given rows and added inputs stand before all rounds)
-- which passes all other filters: the same after folding case and white space; or, where near_duplicate_threshold is set, at least that similar by the Jaccard index of their
-- character shingles. The similarities are worked out when a text comes in and kept in `near_twin`, from 0.5 on.
-- (`alike` keeps the sorting to the few inputs that may be duplicates: the others need no look.)
WITH
  repeated AS MATERIALIZED (
    SELECT task_id, folded FROM input GROUP BY task_id, folded HAVING count(*) > 1
  ),
  alike AS MATERIALIZED (
    SELECT i.id FROM repeated AS r CROSS JOIN input AS i ON i.task_id = r.task_id AND i.folded IS r.folded
    UNION SELECT input_id FROM near_twin
    UNION SELECT twin_id FROM near_twin
  ),
  survivor AS MATERIALIZED (
    SELECT c.id, c.standing, i.task_id, i.folded, ifnull(i.round, -1) AS round, ifnull(i.prompt, -1) AS prompt
    FROM input_check AS c
    CROSS JOIN input AS i ON i.id = c.id
    WHERE c.reason IS NULL AND c.id IN (SELECT id FROM alike)
  ),
  twin AS MATERIALIZED (
    SELECT id, task_id, standing, round, prompt,
           first_value(id) OVER (PARTITION BY task_id, folded ORDER BY standing, round, prompt, id) AS twin_id
    FROM survivor
  ),
  likeness(id, twin_id, similarity) AS (
    SELECT input_id, twin_id, similarity FROM near_twin
    UNION ALL
    SELECT twin_id, input_id, similarity FROM near_twin
  ),
  near AS (
    SELECT a.id, max(l.similarity) AS similarity, b.id AS twin_id
    FROM filter_setting AS s
    CROSS JOIN likeness AS l
    CROSS JOIN (SELECT * FROM twin WHERE twin_id = id) AS a ON a.id = l.id AND a.task_id = s.task_id
    CROSS JOIN (SELECT * FROM twin WHERE twin_id = id) AS b ON b.id = l.twin_id
    WHERE s.near_duplicate_threshold IS NOT NULL AND l.similarity >= s.near_duplicate_threshold
      AND a.standing > 1 AND (b.standing, b.round, b.prompt, b.id) < (a.standing, a.round, a.prompt, a.id)
    GROUP BY a.id
  )
SELECT id, 'same as input ' || twin_id AS detail
FROM twin
WHERE twin_id <> id AND standing <> 1
UNION ALL
SELECT id, printf('%.0f %% like input %d', 100 * similarity, twin_id)
FROM near;
