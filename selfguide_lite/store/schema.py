"""The tables, as small dated migrations, and the views, one `.sql` file each. Knows nothing of rows.

Every view is plain SQL: the file opens in `sqlite3`, `sqlite-utils` and Datasette with none of our code.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from sqlite_utils import Database, Migrations

# Raised with every change of tables or views: an older program refuses a newer file.
FORMAT = 1
APPLICATION_ID = 0x53474C54  # "SGLT", in the header of every file of ours
MIGRATION_SET = "selfguide-lite"
VIEWS = Path(__file__).parent / "views"

_TABLES_2026_11_21 = """
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
  length INTEGER GENERATED ALWAYS AS (length(text)) STORED,
  folded TEXT,
  good TEXT,
  flawed TEXT,
  finish_reason TEXT,
  prompt_tokens INTEGER,
  completion_tokens INTEGER,
  mean_logprob REAL,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  UNIQUE (task_id, round, prompt)
);
CREATE INDEX input_folded ON input(task_id, folded);
CREATE TABLE output (
  id INTEGER PRIMARY KEY,
  input_id INTEGER NOT NULL REFERENCES input(id),
  run_id INTEGER REFERENCES run(id),
  sample INTEGER NOT NULL DEFAULT 0,
  method TEXT NOT NULL DEFAULT 'sample',
  text TEXT NOT NULL,
  length INTEGER GENERATED ALWAYS AS (length(text)) STORED,
  label TEXT,
  weight REAL NOT NULL DEFAULT 1 CHECK (weight >= 0),
  logprob REAL,
  finish_reason TEXT,
  prompt_tokens INTEGER,
  completion_tokens INTEGER,
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  UNIQUE (input_id, method, sample)
);
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


def migrations() -> "Migrations":
    """Return the migrations, oldest first. sqlite-utils is imported here: it takes a third of a second."""
    from sqlite_utils import Migrations

    steps = Migrations(MIGRATION_SET)

    @steps(name="2026-11-21-tables")
    def tables(db: "Database") -> None:
        for statement in _statements(_TABLES_2026_11_21):
            db.execute(statement)

    return steps


def _statements(script: str) -> list[str]:
    """Split a script into statements; `executescript` would end the migration's transaction."""
    from sqlite3 import complete_statement

    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    return [statement for statement in found if statement]


def view_files() -> dict[str, str]:
    """Return the shipped views: name and SQL, comment on top included."""
    return {path.stem: path.read_text(encoding="utf-8").strip() for path in sorted(VIEWS.glob("*.sql"))}


def user_filters(connection: "sqlite3.Connection", shipped: dict[str, str]) -> dict[str, list[str]]:
    """Return the names of the user's own filter views by stage, `input` and `output`."""
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view' ORDER BY name")]
    return {
        stage: [name for name in names if name.startswith(f"filter_{stage}_") and name not in shipped]
        for stage in ("input", "output")
    }


def wanted_views(connection: "sqlite3.Connection") -> dict[str, str]:
    """Return every view of ours as it must stand in this file: the verdicts count the user's filters too."""
    shipped = view_files()
    for stage, names in user_filters(connection, shipped).items():
        rows = "".join(
            f"\n    UNION ALL SELECT id, {100 + rank}, '{_quoted(name.removeprefix(f'filter_{stage}_'))}', detail"
            f' FROM "{_identifier(name)}"'
            for rank, name in enumerate(names)
        )
        for name, sql in shipped.items():
            shipped[name] = sql.replace(f"/* your filters: {stage} */", rows)
    return {name: f"CREATE VIEW {name} AS\n{sql.rstrip(';')}" for name, sql in shipped.items()}


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _identifier(text: str) -> str:
    return text.replace('"', '""')


def refresh_views(connection: "sqlite3.Connection") -> bool:
    """Make the views what they should be. True where something had to change. Runs in the caller's transaction."""
    wanted = wanted_views(connection)
    present = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view'"))
    changed = False
    for name, sql in wanted.items():
        if present.get(name) != sql:
            connection.execute(f"DROP VIEW IF EXISTS {name}")
            connection.execute(sql)
            changed = True
    return changed


def views_current(connection: "sqlite3.Connection") -> bool:
    """Whether the views in this file are what they should be."""
    present = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view'"))
    return all(present.get(name) == sql for name, sql in wanted_views(connection).items())
