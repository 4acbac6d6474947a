-- The object that the fields' votes make for each input: each field's majority, in the schema's order. `share` is that of
-- the field which is least sure.
WITH
  won AS (
    SELECT task_id, input_id, min(share) OVER w AS share, row_number() OVER w AS place, count(*) OVER w AS n,
           '{' || group_concat(json_quote(name) || ':' || value, ',') OVER w || '}' AS answer
    FROM (/* field_vote */)
    WHERE place = 1
    WINDOW w AS (PARTITION BY input_id ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
  )
SELECT task_id, input_id, answer, share, n FROM won GROUP BY input_id;
