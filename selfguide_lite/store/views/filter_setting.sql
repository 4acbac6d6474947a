-- The filters' settings in force: one row a task, a column each; a row missing from `setting` means the default, which
-- may depend on what the kind of task is like: labelled (its answers are labels), parsed (they are found in a text)
-- and structured (they are objects).
-- Two defaults depend on how a run answers and are rows from its beginning: without a row, near_duplicate_threshold and
-- calibrate are off.
SELECT
  t.id AS task_id,
  t.kind AS kind,
  ifnull(k.labelled, 0) AS labelled,
  ifnull(max(CASE WHEN s.key = 'noise_filter' THEN s.value IN (1, 'true', 'on', 'yes') END), 1) AS noise_filter,
  ifnull(max(CASE WHEN s.key = 'input_length_filter' THEN s.value IN (1, 'true', 'on', 'yes') END), 1)
    AS input_length_filter,
  ifnull(max(CASE WHEN s.key = 'output_length_filter' THEN s.value IN (1, 'true', 'on', 'yes') END),
         NOT (ifnull(k.parsed, 0) OR ifnull(k.structured, 0))) AS output_length_filter,
  ifnull(max(CASE WHEN s.key = 'length_rule' THEN s.value END), 'range') AS length_rule,
  ifnull(max(CASE WHEN s.key = 'length_factor' THEN s.value END), 3.0) AS length_factor,
  ifnull(max(CASE WHEN s.key = 'length_deviations' THEN s.value END), 2.0) AS length_deviations,
  ifnull(max(CASE WHEN s.key = 'length_slack_share' THEN s.value END), 0.25) AS length_slack_share,
  ifnull(max(CASE WHEN s.key = 'length_slack_min' THEN s.value END), 10) AS length_slack_min,
  max(CASE WHEN s.key = 'near_duplicate_threshold' THEN s.value END) AS near_duplicate_threshold,
  ifnull(max(CASE WHEN s.key = 'label_named_filter' THEN s.value IN (1, 'true', 'on', 'yes') END),
         ifnull(k.labelled, 0)) AS label_named_filter,
  ifnull(max(CASE WHEN s.key = 'consistency_filter' THEN s.value IN (1, 'true', 'on', 'yes') END), 1)
    AS consistency_filter,
  ifnull(max(CASE WHEN s.key = 'min_vote_share' THEN s.value END), 0.3) AS min_vote_share,
  ifnull(max(CASE WHEN s.key = 'min_votes' THEN s.value END), 1) AS min_votes,
  ifnull(max(CASE WHEN s.key = 'calibrate' THEN s.value IN (1, 'true', 'on', 'yes') END), 0) AS calibrate,
  ifnull(max(CASE WHEN s.key = 'calibrate_min_inputs' THEN s.value END), 20) AS calibrate_min_inputs,
  ifnull(max(CASE WHEN s.key = 'agreement_filter' THEN s.value IN (1, 'true', 'on', 'yes') END),
         ifnull(k.labelled, 0)) AS agreement_filter,
  ifnull(max(CASE WHEN s.key = 'agreement_min_pairs' THEN s.value END), 10) AS agreement_min_pairs,
  ifnull(max(CASE WHEN s.key = 'min_confidence' THEN s.value END), 0.0) AS min_confidence,
  ifnull(max(CASE WHEN s.key = 'balance' THEN s.value IN (1, 'true', 'on', 'yes') END), ifnull(k.balanced, 0))
    AS balance,
  ifnull(max(CASE WHEN s.key = 'random_labels' THEN s.value IN (1, 'true', 'on', 'yes') END), 0) AS random_labels,
  ifnull(max(CASE WHEN s.key = 'dataset_seed' THEN s.value END), 0) AS dataset_seed,
  ifnull(max(CASE WHEN s.key = 'added_filters_off' THEN s.value END), '') AS added_filters_off,
  ifnull(max(CASE WHEN s.key = 'given_weight' THEN s.value END), 1) AS given_weight
FROM task AS t
LEFT JOIN kind AS k ON k.name = t.kind
LEFT JOIN setting AS s ON s.task_id = t.id
GROUP BY t.id;
