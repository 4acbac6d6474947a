-- Every input with the first reason for which a filter rejects it, or none; duplicates not yet looked at. A person's verdict
-- stands above all filters. Of inputs of a person's own, given rows are judged by given_weight alone, the others by all
-- filters but those that added_filters_off names. `standing` says which of two equal inputs stays: the lower one; what
-- stands at 0 is no near duplicate either.
WITH
  rejected(id, rank, reason, detail) AS (
    /* filters: input */
  ),
  own AS MATERIALIZED (
    SELECT input_id AS id, CASE verdict WHEN 'reject' THEN 'rejected' ELSE 'accepted' END AS origin, '' AS off
    FROM review_in_force
    UNION ALL
    SELECT i.id, i.origin, ',' || replace(s.added_filters_off, ' ', '') || ','
    FROM filter_setting AS s
    CROSS JOIN input AS i ON i.task_id = s.task_id
    WHERE i.origin <> 'generated' AND i.id NOT IN (SELECT input_id FROM review_in_force)
  ),
  first AS (
    SELECT r.id, r.reason, r.detail, min(r.rank) AS rank
    FROM rejected AS r
    LEFT JOIN own AS o ON o.id = r.id
    WHERE r.id IS NOT NULL
      AND CASE o.origin WHEN 'given' THEN r.reason = 'given' WHEN 'accepted' THEN 0 WHEN 'rejected' THEN r.reason = 'review'
          WHEN 'added' THEN instr(o.off, ',' || r.reason || ',') = 0 ELSE 1 END
    GROUP BY r.id
  )
SELECT i.id, i.task_id, f.reason, f.detail,
       CASE WHEN o.origin IN ('given', 'accepted') THEN 0 WHEN instr(o.off, ',duplicate,') THEN 1
       WHEN o.origin = 'added' THEN 2 ELSE 3 END AS standing
FROM input AS i
LEFT JOIN first AS f ON f.id = i.id
LEFT JOIN own AS o ON o.id = i.id;
