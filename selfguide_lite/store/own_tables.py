"""The tables and columns of what people bring and say themselves, as SQL."""

# Inputs may be a person's own: added without an answer, or given with one; `source` is their place.
OWN_DATA_2026_11_24 = """
ALTER TABLE input ADD COLUMN origin TEXT NOT NULL DEFAULT 'generated'
  CHECK (origin IN ('generated', 'added', 'given'));
ALTER TABLE input ADD COLUMN source TEXT;
ALTER TABLE input ADD COLUMN answer TEXT;
ALTER TABLE task ADD COLUMN eval TEXT;
CREATE INDEX input_own ON input(task_id, origin, folded) WHERE origin <> 'generated';
"""

# What people said of texts. Rows are only added: the newest verdict of an input that is not undone is in force.
# `reason` and `machine_answer` are what the filters and the model said when it was judged; `queue` is why it was shown.
REVIEW_2026_11_24 = """
CREATE TABLE review (
  id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES task(id),
  input_id INTEGER NOT NULL REFERENCES input(id) ON DELETE CASCADE,
  verdict TEXT NOT NULL CHECK (verdict IN ('accept', 'reject', 'edit', 'skip', 'undo')),
  input TEXT,
  answer TEXT,
  undoes INTEGER REFERENCES review(id) ON DELETE CASCADE,
  reviewer TEXT NOT NULL DEFAULT '',
  queue TEXT NOT NULL DEFAULT '',
  reason TEXT,
  machine_answer TEXT,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CHECK ((verdict = 'undo') = (undoes IS NOT NULL))
);
CREATE INDEX review_of_input ON review(input_id, id);
CREATE INDEX review_undone ON review(undoes) WHERE undoes IS NOT NULL;
"""

# A kind of task may have objects for answers: then `field` has the fields of its schema.
FIELDS_2026_11_24 = """
ALTER TABLE kind ADD COLUMN structured INTEGER NOT NULL DEFAULT 0;
CREATE TABLE field (
  task_id INTEGER NOT NULL REFERENCES task(id),
  number INTEGER NOT NULL,
  name TEXT NOT NULL,
  type TEXT NOT NULL CHECK (type IN ('string', 'integer', 'number', 'boolean', 'date', 'enum')),
  many INTEGER NOT NULL DEFAULT 0,
  optional INTEGER NOT NULL DEFAULT 0,
  description TEXT NOT NULL DEFAULT '',
  "values" TEXT NOT NULL DEFAULT '[]',
  verbatim INTEGER NOT NULL DEFAULT 0,
  max_length INTEGER,
  max_items INTEGER,
  PRIMARY KEY (task_id, number),
  UNIQUE (task_id, name)
);
"""

# A task may change: every version of it stays, runs and verdicts know theirs. Answers to prompts of another version are
# put aside in `output_shelf`, and come back where the task does. `prompt_key` tells prompts apart that ask differently.
VERSIONS_2026_11_24 = """
ALTER TABLE task ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE task ADD COLUMN prompt_key TEXT NOT NULL DEFAULT '';
ALTER TABLE run ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE verdict ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE evaluation ADD COLUMN prompt_key TEXT NOT NULL DEFAULT '';
ALTER TABLE prior ADD COLUMN prompt_key TEXT NOT NULL DEFAULT '';
DROP INDEX evaluation_once;
CREATE UNIQUE INDEX evaluation_once ON evaluation(
  task_id, method, metric, ifnull(model_id, 0), ifnull(adapter_id, 0), data_sha256, settings,
  ifnull(template_sha256, ''), prompt_key
);
DROP INDEX prior_once;
CREATE UNIQUE INDEX prior_once ON prior(
  task_id, model_id, ifnull(adapter_id, 0), prompt, template_sha256, inputs_sha256, prompt_key
);
CREATE TABLE task_version (
  task_id INTEGER NOT NULL REFERENCES task(id),
  number INTEGER NOT NULL,
  definition TEXT,
  prompt_key TEXT NOT NULL DEFAULT '',
  changed TEXT NOT NULL DEFAULT '',
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  PRIMARY KEY (task_id, number)
);
INSERT INTO task_version(task_id, number, created_at) SELECT id, 1, created_at FROM task;
CREATE TABLE output_shelf (
  id INTEGER PRIMARY KEY,
  prompt_key TEXT NOT NULL,
  input_id INTEGER NOT NULL REFERENCES input(id) ON DELETE CASCADE,
  run_id INTEGER REFERENCES run(id),
  sample INTEGER NOT NULL,
  method TEXT NOT NULL,
  text TEXT NOT NULL,
  length INTEGER,
  label TEXT,
  answer_length INTEGER,
  weight REAL NOT NULL,
  logprob REAL,
  finish_reason TEXT,
  prompt_tokens INTEGER,
  completion_tokens INTEGER,
  created_at TEXT NOT NULL,
  raw TEXT
);
CREATE INDEX output_shelf_of_input ON output_shelf(input_id, prompt_key);
"""
