-- What made each pair: join it to `dataset` on input_id. The input's run and the answer's run: prompt template,
-- settings, seed, model, program version, version of the task, time. `origin`: generated, added or given; `source` is
-- where the last two stood.
SELECT i.id AS input_id, o.id AS output_id,
       i.origin, i.source, i.round, i.prompt, i.label AS label_asked_for, i.seed_inputs, i.pool_inputs,
       i.created_at AS input_created_at,
       ri.id AS input_run_id, ri.template_sha256 AS input_template_sha256, ri.settings AS input_settings,
       ri.seed AS input_seed, mi.name AS input_model, mi.sha256 AS input_model_sha256,
       ri.program_version AS input_program_version, ri.version AS input_task_version,
       o.method, o.sample, o.created_at AS output_created_at,
       ro.id AS output_run_id, ro.template_sha256 AS output_template_sha256, ro.settings AS output_settings,
       ro.seed AS output_seed, mo.name AS output_model, mo.sha256 AS output_model_sha256,
       ro.program_version AS output_program_version, ro.version AS output_task_version
FROM answer AS a
JOIN input AS i ON i.id = a.input_id
LEFT JOIN output AS o ON o.id = a.output_id
LEFT JOIN run AS ri ON ri.id = i.run_id
LEFT JOIN model AS mi ON mi.id = ri.model_id
LEFT JOIN run AS ro ON ro.id = o.run_id
LEFT JOIN model AS mo ON mo.id = ro.model_id;
