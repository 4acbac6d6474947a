-- Rejects inputs that name a label of the task, as a whole word, which no seed example's input names: what is to be
-- found out must not stand there. Case is ignored. (Each label found is marked, and what stands beside the mark looked
-- at; the pattern's letters are those of scripts that put blanks between words.)
-- rank: 50
WITH
  edge(other) AS (
    SELECT '[^a-z0-9_' || char(1) || char(192) || '-' || char(3583) || char(3840) || '-' || char(8191) || char(40960)
           || '-' || char(44031) || char(55204) || '-' || char(65023) || ']'
  ),
  word AS (
    SELECT l.task_id, l.number, l.text AS label, l.folded,
           '*' || CASE WHEN substr(l.folded, 1, 1) GLOB e.other THEN '' ELSE e.other END || char(1)
           || CASE WHEN substr(l.folded, -1) GLOB e.other THEN '' ELSE e.other END || '*' AS pattern
    FROM filter_setting AS s
    CROSS JOIN label AS l ON l.task_id = s.task_id
    CROSS JOIN edge AS e
    WHERE s.label_named_filter AND l.folded <> ''
  ),
  sought AS MATERIALIZED (
    SELECT w.*
    FROM word AS w
    WHERE NOT EXISTS (
      SELECT 1 FROM example AS x
      WHERE x.task_id = w.task_id AND instr(x.folded, w.folded) > 0
        AND ' ' || replace(replace(x.folded, char(1), ' '), w.folded, char(1)) || ' ' GLOB w.pattern
    )
  )
SELECT i.id, 'names the label ' || group_concat(w.label, ', ') AS detail
FROM sought AS w
CROSS JOIN input AS i ON i.task_id = w.task_id
WHERE instr(i.folded, w.folded) > 0
  AND ' ' || replace(replace(i.folded, char(1), ' '), w.folded, char(1)) || ' ' GLOB w.pattern
GROUP BY i.id;
