"""The tables and indexes of each migration, as SQL. Knows nothing of triggers and views."""

TABLES_2026_11_21 = """
CREATE TABLE task (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('classification', 'generation')),
  instruction TEXT NOT NULL,
  settings TEXT NOT NULL DEFAULT '{}',
  noise_terms TEXT NOT NULL DEFAULT '[]',
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
CREATE TABLE example (
  task_id INTEGER NOT NULL REFERENCES task(id),
  number INTEGER NOT NULL,
  input TEXT NOT NULL,
  output TEXT NOT NULL,
  folded TEXT,
  PRIMARY KEY (task_id, number)
);
CREATE TABLE label (
  task_id INTEGER NOT NULL REFERENCES task(id),
  number INTEGER NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (task_id, number)
);
CREATE TABLE noise_term (
  task_id INTEGER NOT NULL REFERENCES task(id),
  term TEXT NOT NULL CHECK (term <> ''),
  PRIMARY KEY (task_id, term)
);
CREATE TABLE setting (
  task_id INTEGER NOT NULL REFERENCES task(id),
  key TEXT NOT NULL,
  value NUMERIC,
  PRIMARY KEY (task_id, key)
);
CREATE TABLE model (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  path TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  architecture TEXT,
  parameters INTEGER,
  adapter TEXT
);
CREATE UNIQUE INDEX model_once ON model(sha256, ifnull(adapter, ''));
CREATE TABLE run (
  id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES task(id),
  stage TEXT NOT NULL,
  model_id INTEGER REFERENCES model(id),
  seed INTEGER,
  settings TEXT NOT NULL DEFAULT '{}',
  template TEXT,
  template_sha256 TEXT,
  dataset_sha256 TEXT,
  program_version TEXT,
  started_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  finished_at TEXT,
  reason TEXT
);
CREATE TABLE input (
  id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES task(id),
  run_id INTEGER REFERENCES run(id),
  round INTEGER,
  prompt INTEGER,
  label TEXT,
  text TEXT NOT NULL,
  length INTEGER,
  folded TEXT,
  good TEXT,
  flawed TEXT,
  finish_reason TEXT,
  prompt_tokens INTEGER,
  completion_tokens INTEGER,
  mean_logprob REAL,
  sketched INTEGER,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  UNIQUE (task_id, round, prompt)
);
CREATE INDEX input_unsketched ON input(id) WHERE sketched IS NULL;
CREATE TABLE input_band (
  hash INTEGER NOT NULL,
  input_id INTEGER NOT NULL REFERENCES input(id) ON DELETE CASCADE,
  PRIMARY KEY (hash, input_id)
) WITHOUT ROWID;
CREATE TABLE near_twin (
  input_id INTEGER NOT NULL REFERENCES input(id) ON DELETE CASCADE,
  twin_id INTEGER NOT NULL REFERENCES input(id) ON DELETE CASCADE,
  similarity REAL NOT NULL,
  PRIMARY KEY (input_id, twin_id)
) WITHOUT ROWID;
CREATE INDEX near_twin_back ON near_twin(twin_id, input_id);
CREATE INDEX input_folded ON input(task_id, folded);
CREATE TABLE output (
  id INTEGER PRIMARY KEY,
  input_id INTEGER NOT NULL REFERENCES input(id),
  run_id INTEGER REFERENCES run(id),
  sample INTEGER NOT NULL DEFAULT 0,
  method TEXT NOT NULL DEFAULT 'sample',
  text TEXT NOT NULL,
  length INTEGER,
  label TEXT,
  answer_id INTEGER,
  answer_length INTEGER,
  weight REAL NOT NULL DEFAULT 1 CHECK (weight >= 0),
  logprob REAL,
  finish_reason TEXT,
  prompt_tokens INTEGER,
  completion_tokens INTEGER,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  UNIQUE (input_id, method, sample)
);
CREATE INDEX output_answer ON output(input_id, answer_id, weight, answer_length, length);
CREATE INDEX output_unlabelled ON output(input_id) WHERE label IS NULL AND answer_length > 0;
CREATE INDEX output_empty ON output(input_id) WHERE answer_length = 0;
CREATE TABLE input_noise (
  input_id INTEGER NOT NULL REFERENCES input(id) ON DELETE CASCADE,
  term TEXT NOT NULL,
  PRIMARY KEY (input_id, term)
) WITHOUT ROWID;
CREATE TABLE output_noise (
  output_id INTEGER NOT NULL REFERENCES output(id) ON DELETE CASCADE,
  term TEXT NOT NULL,
  PRIMARY KEY (output_id, term)
) WITHOUT ROWID;
CREATE TABLE adapter (
  id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES task(id),
  run_id INTEGER NOT NULL REFERENCES run(id),
  model_id INTEGER NOT NULL REFERENCES model(id),
  path TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  settings TEXT NOT NULL DEFAULT '{}',
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  UNIQUE (run_id, sha256)
);
CREATE TABLE train_step (
  run_id INTEGER NOT NULL REFERENCES run(id),
  step INTEGER NOT NULL,
  total INTEGER NOT NULL,
  epoch REAL NOT NULL,
  loss REAL,
  learning_rate REAL,
  grad_norm REAL,
  tokens_per_second REAL,
  memory INTEGER,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  PRIMARY KEY (run_id, step)
);
CREATE TABLE evaluation (
  id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES task(id),
  method TEXT NOT NULL,
  metric TEXT NOT NULL,
  model_id INTEGER REFERENCES model(id),
  adapter_id INTEGER REFERENCES adapter(id),
  data_sha256 TEXT NOT NULL DEFAULT '',
  n INTEGER NOT NULL DEFAULT 0,
  settings TEXT NOT NULL DEFAULT '{}',
  template TEXT,
  template_sha256 TEXT,
  program_version TEXT,
  mean REAL,
  low REAL,
  high REAL,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  finished_at TEXT
);
CREATE UNIQUE INDEX evaluation_once ON evaluation(
  task_id, method, metric, ifnull(model_id, 0), ifnull(adapter_id, 0), data_sha256, settings,
  ifnull(template_sha256, '')
);
CREATE TABLE prediction (
  id INTEGER PRIMARY KEY,
  evaluation_id INTEGER NOT NULL REFERENCES evaluation(id),
  number INTEGER NOT NULL,
  input TEXT NOT NULL,
  "references" TEXT NOT NULL,
  text TEXT NOT NULL,
  score REAL NOT NULL,
  finish_reason TEXT,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  UNIQUE (evaluation_id, number)
);
"""

# Labels get what a user says of them; predictions the log-probability of every label; `prior` the mean share that a
# model with a prompt gives each label over inputs without answers, by which its scores are calibrated.
CALIBRATION_2026_11_24 = """
ALTER TABLE label ADD COLUMN meaning TEXT;
ALTER TABLE label ADD COLUMN share REAL;
ALTER TABLE prediction ADD COLUMN label_logprobs TEXT;
ALTER TABLE evaluation ADD COLUMN prior_id INTEGER REFERENCES prior(id);
CREATE TABLE prior (
  id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES task(id),
  model_id INTEGER NOT NULL REFERENCES model(id),
  adapter_id INTEGER REFERENCES adapter(id),
  prompt TEXT NOT NULL,
  template_sha256 TEXT NOT NULL DEFAULT '',
  inputs_sha256 TEXT NOT NULL,
  n INTEGER NOT NULL,
  shares TEXT NOT NULL,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
CREATE UNIQUE INDEX prior_once ON prior(
  task_id, model_id, ifnull(adapter_id, 0), prompt, template_sha256, inputs_sha256
);
CREATE TABLE verdict (
  id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES task(id),
  adapter_id INTEGER REFERENCES adapter(id),
  metric TEXT NOT NULL,
  data_sha256 TEXT NOT NULL,
  n INTEGER NOT NULL,
  over TEXT,
  before REAL,
  after REAL,
  low REAL,
  high REAL,
  sentence TEXT NOT NULL,
  winner_id INTEGER REFERENCES evaluation(id),
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
"""

# What a kind of task means to the views; a task of a kind that is not shipped brings its row. The CHECK on the kind's
# name goes, so `task` is made again, see the migration.
KINDS_2026_11_24 = """
CREATE TABLE kind (
  name TEXT PRIMARY KEY,
  labelled INTEGER NOT NULL,
  parsed INTEGER NOT NULL,
  balanced INTEGER NOT NULL
);
INSERT INTO kind VALUES ('classification', 1, 1, 1), ('generation', 0, 0, 0);
"""
KIND_CHECK = "CHECK (kind IN ('classification', 'generation'))"

# What was cut from a text before the filters saw it, such as a thinking block, is kept with it.
RAW_TEXTS_2026_11_24 = """
CREATE TABLE raw_text (
  input_id INTEGER UNIQUE REFERENCES input(id) ON DELETE CASCADE,
  output_id INTEGER UNIQUE REFERENCES output(id) ON DELETE CASCADE,
  text TEXT NOT NULL,
  CHECK ((input_id IS NULL) <> (output_id IS NULL))
);
"""
