-- Every output with the first reason for which it is rejected and the detail, or none where it counts as a vote.
SELECT o.id, o.input_id, r.reason, r.detail
FROM output AS o
LEFT JOIN output_rejected AS r ON r.id = o.id;
