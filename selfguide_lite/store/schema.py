"""The tables, as small dated migrations, and the views, one `.sql` file each. Knows nothing of rows.

Every view is plain SQL: the file opens in `sqlite3`, `sqlite-utils` and Datasette with none of our code.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from sqlite3 import SQLITE_OK, SQLITE_READ, SQLITE_SELECT, Error, complete_statement
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from sqlite_utils import Database, Migrations

# Raised with every change of tables or views: an older program refuses a newer file.
FORMAT = 2
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
_CALIBRATION_2026_11_24 = """
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

# --- What the views need of every text is worked out once, when the text comes in. Triggers do it, so that it also
# holds for rows that were put in with plain SQL; the typed API fills in what Python knows better (case folding and
# word edges beyond A to Z).


# Every character that Unicode counts as white space, and the separators that Python's `str.strip` removes.
WHITE_SPACE = (
    "char(9,10,11,12,13,28,29,30,31,32,133,160,5760,8192,8193,8194,8195,8196,8197,8198,8199,8200,8201,8202,8232,8233,"
    "8239,8287,12288)"
)


def _folded(text: str) -> str:
    """SQL that folds A to Z and runs of white space."""
    blanks = text
    for code in (9, 10, 11, 12, 13, 160, 12288):
        blanks = f"replace({blanks}, char({code}), ' ')"
    return f"trim(replace(replace(replace(lower({blanks}), ' ', ' ' || char(1)), char(1) || ' ', ''), char(1), ''))"


def _in_word(character: str) -> str:
    """SQL that tells whether a character belongs to a word; scripts without blanks have no word edges."""
    code = f"unicode({character})"
    return (
        f"({character} GLOB '[a-z0-9_]' OR {code} >= 192 AND {code} NOT BETWEEN 3584 AND 3839"
        f" AND {code} NOT BETWEEN 8192 AND 40959 AND {code} NOT BETWEEN 44032 AND 55203 AND {code} < 65024)"
    )


def _label_of(text: str, input_id: str) -> str:
    """SQL of the label that ends last in a text (its last 2,000 characters) as whole words; NULL where none occurs.

    Every place in the text is tried: `json_each` over an array as long as the text counts them, because recursive
    queries are not allowed in triggers.
    """
    start, size = "(place.key + 1)", "length(found.needle)"
    before, after = f"substr(found.hay, {start} - 1, 1)", f"substr(found.hay, {start} + {size}, 1)"
    first, last = "substr(found.needle, 1, 1)", "substr(found.needle, -1)"
    hay = f"substr({_folded(text)}, -2000)"
    return (
        f"(SELECT found.label FROM (SELECT l.number, l.text AS label, {_folded('l.text')} AS needle, {hay} AS hay"
        f" FROM input AS i JOIN label AS l ON l.task_id = i.task_id WHERE i.id = {input_id}) AS found"
        " JOIN json_each('[' || replace(hex(zeroblob(length(found.hay))), '00', '0,') || '0]') AS place"
        f" WHERE substr(found.hay, {start}, {size}) = found.needle"
        f" AND NOT ({start} > 1 AND {_in_word(before)} AND {_in_word(first)})"
        f" AND NOT ({_in_word(last)} AND ifnull({_in_word(after)}, 0))"
        f" ORDER BY place.key + {size} DESC, {size} DESC LIMIT 1)"
    )


def _contains(text: str, term: str) -> str:
    """SQL that tells whether a text contains a noise term, as files of format 1 had it."""
    return f"instr(lower({text}), lower({term}))"


def _contains_or_begins(text: str, term: str) -> str:
    """SQL that tells whether a text contains a noise term; one that begins with ^ counts at a line's start alone."""
    begins = f"instr(char(10) || lower({text}), char(10) || lower(substr({term}, 2)))"
    return f"CASE WHEN {term} GLOB '^?*' THEN {begins} ELSE {_contains(text, term)} END"


_MEASURE_OUTPUT = f"""  UPDATE output SET
    length = length(text),
    answer_length = ifnull(length(label), CASE WHEN trim(text, {WHITE_SPACE}) = '' THEN 0 ELSE length(text) END)
  WHERE id = NEW.id;"""


def _group_answers(input_id: str) -> str:
    """SQL that gives all equal answers to an input the id of the first of them."""
    first = (
        "(SELECT min(o.id) FROM output AS o WHERE o.input_id = output.input_id"
        " AND ifnull(o.label, o.text) = ifnull(output.label, output.text))"
    )
    return f"""
  UPDATE output SET answer_id = {first} WHERE input_id = {input_id} AND answer_id IS NOT {first};"""


_FORGET_TERM = """
  DELETE FROM input_noise WHERE term = OLD.term
    AND input_id IN (SELECT i.id FROM input AS i WHERE i.task_id = OLD.task_id);
  DELETE FROM output_noise WHERE term = OLD.term AND output_id IN (
    SELECT o.id FROM input AS i JOIN output AS o ON o.input_id = i.id WHERE i.task_id = OLD.task_id);"""
_TRIGGERS_2026_11_21 = (
    f"""CREATE TRIGGER example_by_hand AFTER INSERT ON example WHEN NEW.folded IS NULL BEGIN
  UPDATE example SET folded = {_folded("NEW.input")} WHERE task_id = NEW.task_id AND number = NEW.number;
END""",
    f"""CREATE TRIGGER input_by_hand AFTER INSERT ON input WHEN NEW.folded IS NULL BEGIN
  UPDATE input SET length = length(text), folded = {_folded("NEW.text")} WHERE id = NEW.id;
END""",
    """CREATE TRIGGER input_gone AFTER DELETE ON input BEGIN
  DELETE FROM input_noise WHERE input_id = OLD.id;
END""",
    f"""CREATE TRIGGER output_by_hand AFTER INSERT ON output WHEN NEW.answer_id IS NULL BEGIN
  UPDATE output SET label = {_label_of("NEW.text", "NEW.input_id")} WHERE id = NEW.id AND label IS NULL;
{_MEASURE_OUTPUT}{_group_answers("NEW.input_id")}
END""",
    f"""CREATE TRIGGER output_gone AFTER DELETE ON output BEGIN
  DELETE FROM output_noise WHERE output_id = OLD.id;{_group_answers("OLD.input_id")}
END""",
    f"CREATE TRIGGER noise_term_gone AFTER DELETE ON noise_term BEGIN{_FORGET_TERM}\nEND",
)


def _noise_triggers(contains: Callable[[str, str], str]) -> dict[str, str]:
    """Return the triggers that note which text contains which noise term, by their names."""
    of_input = f"""
  INSERT OR IGNORE INTO input_noise SELECT NEW.id, t.term FROM noise_term AS t
    WHERE t.task_id = NEW.task_id AND {contains("NEW.text", "t.term")};"""
    of_output = f"""
  INSERT OR IGNORE INTO output_noise SELECT NEW.id, t.term FROM noise_term AS t
    WHERE t.task_id = (SELECT i.task_id FROM input AS i WHERE i.id = NEW.input_id)
      AND {contains("NEW.text", "t.term")};"""
    of_term = f"""
  INSERT OR IGNORE INTO input_noise SELECT i.id, NEW.term FROM input AS i
    WHERE i.task_id = NEW.task_id AND {contains("i.text", "NEW.term")};
  INSERT OR IGNORE INTO output_noise SELECT o.id, NEW.term FROM input AS i JOIN output AS o ON o.input_id = i.id
    WHERE i.task_id = NEW.task_id AND {contains("o.text", "NEW.term")};"""
    bodies = {
        "input_noise_found": f"AFTER INSERT ON input BEGIN{of_input}",
        "input_edited": f"""AFTER UPDATE OF text ON input BEGIN
  UPDATE input SET length = length(text), folded = {_folded("NEW.text")} WHERE id = NEW.id;
  DELETE FROM input_noise WHERE input_id = NEW.id;{of_input}""",
        "output_noise_found": f"AFTER INSERT ON output BEGIN{of_output}",
        "output_edited": f"""AFTER UPDATE OF text ON output BEGIN
  UPDATE output SET label = {_label_of("NEW.text", "NEW.input_id")} WHERE id = NEW.id;
{_MEASURE_OUTPUT}{_group_answers("NEW.input_id")}
  DELETE FROM output_noise WHERE output_id = NEW.id;{of_output}""",
        "noise_term_new": f"AFTER INSERT ON noise_term BEGIN{of_term}",
        "noise_term_edited": f"AFTER UPDATE ON noise_term BEGIN{_FORGET_TERM}{of_term}",
    }
    return {name: f"CREATE TRIGGER {name} {body}\nEND" for name, body in bodies.items()}


# Filters that came later stay off in a file that was begun without them, and shares are what they were: its dataset
# does not change. Labels are compared folded, as inputs are.
_FORMAT_1_KEPT_2026_11_24 = f"""
INSERT OR IGNORE INTO setting(task_id, key, value)
  SELECT t.id, s.column1, s.column2 FROM task AS t CROSS JOIN (
    VALUES ('length_rule', 'deviations'), ('label_named_filter', 0), ('calibrate', 0), ('agreement_filter', 0),
           ('min_confidence', 0), ('share_over_survivors', 1)) AS s;
ALTER TABLE label ADD COLUMN folded TEXT;
UPDATE label SET folded = {_folded("text")};
"""
_LABEL_TRIGGERS_2026_11_24 = (
    f"""CREATE TRIGGER label_by_hand AFTER INSERT ON label WHEN NEW.folded IS NULL BEGIN
  UPDATE label SET folded = {_folded("NEW.text")} WHERE task_id = NEW.task_id AND number = NEW.number;
END""",
    f"""CREATE TRIGGER label_edited AFTER UPDATE OF text ON label BEGIN
  UPDATE label SET folded = {_folded("NEW.text")} WHERE task_id = NEW.task_id AND number = NEW.number;
END""",
)


def migrations() -> "Migrations":
    """Return the migrations, oldest first. sqlite-utils is imported here: it takes a third of a second."""
    from sqlite_utils import Migrations

    steps = Migrations(MIGRATION_SET)

    @steps(name="2026-11-21-tables")
    def tables(db: "Database") -> None:
        noise = _noise_triggers(_contains).values()
        for statement in (*_statements(_TABLES_2026_11_21), *_TRIGGERS_2026_11_21, *noise):
            db.execute(statement)

    @steps(name="2026-11-24-calibration")
    def calibration(db: "Database") -> None:
        for statement in _statements(_CALIBRATION_2026_11_24):
            db.execute(statement)

    @steps(name="2026-11-24-filters-for-real-models")
    def filters(db: "Database") -> None:
        for statement in (*_statements(_FORMAT_1_KEPT_2026_11_24), *_LABEL_TRIGGERS_2026_11_24):
            db.execute(statement)
        for name, trigger in _noise_triggers(_contains_or_begins).items():
            db.execute(f"DROP TRIGGER {name}")
            db.execute(trigger)

    return steps


def _statements(script: str) -> list[str]:
    """Split a script into statements; `executescript` would end the migration's transaction."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    return [statement for statement in found if statement]


@cache
def view_files() -> Mapping[str, str]:
    """Return the shipped views: name and SQL, comment on top included."""
    return MappingProxyType(
        {path.stem: path.read_text(encoding="utf-8").strip() for path in sorted(VIEWS.glob("*.sql"))}
    )


STAGES = ("input", "output", "answer")
_RANK = re.compile(r"^-- rank: (\d+)$", re.MULTILINE)
_FILTERS = re.compile(r"/\* (own )?filters: (\w+) \*/")
_EXPRESSION = re.compile(r"/\* (reason|detail): (\w+) \*/")
_ROWWISE = re.compile(r"^SELECT a\.\w+ AS id,\s+(.+) AS detail\nFROM .+\nWHERE (.+);$", re.MULTILINE | re.DOTALL)
_BODY = re.compile(r"/\* (\w+)((?:, \w+ as \w+)*) \*/")
_OWN_RANK = 1000  # a user's filters come after all of ours


@dataclass(frozen=True, slots=True)
class UserFilter:
    """A view of the user's that is named as a filter.

    :param problem: why the verdicts cannot count it, or None
    """

    stage: str
    view: str
    sql: str
    problem: str | None

    @property
    def name(self) -> str:
        """The filter's short name: the reason that the verdicts give."""
        return self.view.removeprefix(f"filter_{self.stage}_")


def shipped_filters(stage: str) -> list[str]:
    """Return the names of the shipped filters of a stage, in the order in which the verdicts look at them.

    A filter's rank stands in its file. One without a rank is looked at last, by the verdict itself: it reads what the
    others left.
    """
    prefix = f"filter_{stage}_"
    found = {name.removeprefix(prefix): _rank(sql) for name, sql in view_files().items() if name.startswith(prefix)}
    return sorted(found, key=lambda name: (found[name] is None, found[name]))


def _rank(sql: str) -> int | None:
    found = _RANK.search(sql)
    return int(found[1]) if found else None


def user_filters(connection: "sqlite3.Connection", shipped: Iterable[str]) -> list[UserFilter]:
    """Return the user's own filter views, also those that were made with plain SQL."""
    views = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view' ORDER BY name").fetchall()
    return [
        UserFilter(stage, view, sql, problem(connection, stage, view))
        for stage in STAGES
        for view, sql in views
        if view.startswith(f"filter_{stage}_") and view not in shipped
    ]


def problem(connection: "sqlite3.Connection", stage: str, view: str) -> str | None:
    """Return why the verdicts cannot count a filter view, or None."""
    statement = f'SELECT id, detail FROM "{_identifier(view)}"'
    try:
        if not _counting(stage) & _reads(connection, statement):
            return None
        circular = sorted(
            name
            for name in _reads(connection, statement, view)
            if ({name} | _reads(connection, f'SELECT 1 FROM "{_identifier(name)}"')) & _counting(stage)
        )
    except Error as error:
        return str(error)
    return f"it reads {', '.join(circular)}, which is made from the {stage} filters"


@cache
def _counting(stage: str) -> frozenset[str]:
    """Return the views into whose text a stage's filters are written: what reads one of them is made from them."""
    marks = re.compile(rf"/\* (?:(?:own )?filters|reason): {stage} \*/")
    found = {name for name, sql in view_files().items() if marks.search(sql)}
    while more := {
        name
        for name, sql in view_files().items()
        if name not in found and any(mark[1] in found for mark in _BODY.finditer(sql))
    }:
        found |= more
    return frozenset(found)


def _reads(connection: "sqlite3.Connection", statement: str, by: str | None = None) -> set[str]:
    """Return the tables and views that a statement reads, those behind its views too, as SQLite itself sees them.

    :param by: only what this view reads directly
    """
    found: set[str] = set()

    def note(action: int, name: str | None, _column: str | None, _database: str | None, view: str | None) -> int:
        if action == SQLITE_READ and name and by in (None, view):
            found.add(name)
        if action in (SQLITE_READ, SQLITE_SELECT) and view and by is None:
            found.add(view)
        return SQLITE_OK

    connection.set_authorizer(note)
    try:
        connection.execute(f"EXPLAIN {statement}")
    finally:
        connection.set_authorizer(None)
    return found


def wanted_views(connection: "sqlite3.Connection", *, with_own: bool = True) -> dict[str, str]:
    """Return every view of ours as it must stand in this file: the verdicts count the user's filters too."""
    shipped = view_files()
    own = [filter_ for filter_ in user_filters(connection, shipped) if filter_.problem is None] if with_own else []
    return {name: f"CREATE VIEW {name} AS\n{_expanded(sql, shipped, own).rstrip(';')}" for name, sql in shipped.items()}


def _expanded(sql: str, shipped: Mapping[str, str], own: Sequence[UserFilter]) -> str:
    """Return a view's file with its marks filled in, so that a filter is one file and nothing else.

    `/* filters: STAGE */` becomes the rows of all filters of a stage, `/* own filters: STAGE */` those of the user's.
    `/* reason: STAGE or FILTER */` and `/* detail: ... */` become the same as an expression: filters that look at a row
    alone, as the shipped ones of answers do, need no reading of all rows for each. Their rows are called as in the
    filters' files. `/* VIEW, OTHER as NAME */` becomes the text of a view that reads NAME in place of the view OTHER.

    SQLite works a view out anew for everything that reads it, and prepares all that it reads as often again: what
    stands in a WITH under a name is worked out once, but prepared for each that names it. So views name one another as
    seldom as can be.
    """

    def ranked(stage: str) -> list[tuple[int, str]]:
        found = [(_rank(shipped[f"filter_{stage}_{name}"]), name) for name in shipped_filters(stage)]
        return [(rank, name) for rank, name in found if rank is not None]

    def filters(mark: re.Match[str]) -> str:
        stage = mark[2]
        rows = [
            f"SELECT id, {rank}, '{name}', detail FROM filter_{stage}_{name}"
            for rank, name in ([] if mark[1] else ranked(stage))
        ] + [
            f"SELECT id, {_OWN_RANK + number}, '{_quoted(filter_.name)}', detail FROM \"{_identifier(filter_.view)}\""
            for number, filter_ in enumerate(own)
            if filter_.stage == stage
        ]
        return "\n    UNION ALL ".join(rows) or "SELECT NULL, NULL, NULL, NULL WHERE 0"

    def expression(mark: re.Match[str]) -> str:
        stage = mark[2]
        views = [f"filter_{stage}_{name}" for _, name in ranked(stage)] if stage in STAGES else [stage]
        cases = []
        for view in views:
            parts = _ROWWISE.search(shipped[view])
            assert parts is not None, f"{view}: looks at more than a row"
            told = parts[1] if mark[1] == "detail" else f"'{'_'.join(view.split('_')[2:])}'"
            cases.append(f"WHEN {parts[2]} THEN {told}")
        return f"CASE {' '.join(cases)} END"

    def view(mark: re.Match[str]) -> str:
        return _body(_expanded(shipped[mark[1]], shipped, own), mark[2])

    return _BODY.sub(view, _EXPRESSION.sub(expression, _FILTERS.sub(filters, sql)))


def _body(sql: str, renamed: str) -> str:
    """Return a view's text without the comment on top, reading other names, such as `, vote as counted`."""
    lines = sql.rstrip(";").split("\n")
    body = "\n".join(line for line in lines if not line.startswith("--"))
    for before, after in re.findall(r"(\w+) as (\w+)", renamed):
        body = re.sub(rf"\b{before}\b", after, body)
    return body


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _identifier(text: str) -> str:
    return text.replace('"', '""')


def refresh_views(connection: "sqlite3.Connection") -> bool:
    """Make the views what they should be. True where something had to change. Runs in the caller's transaction."""
    if views_current(connection):
        return False
    # Whether a user's filter can be counted is seen on our views as they will be, so these come first.
    for with_own in (False, True):
        present = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view'"))
        for name, sql in wanted_views(connection, with_own=with_own).items():
            if present.get(name) != sql:
                connection.execute(f"DROP VIEW IF EXISTS {name}")
                connection.execute(sql)
    return True


def views_current(connection: "sqlite3.Connection") -> bool:
    """Whether the views in this file are what they should be."""
    present = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view'"))
    return all(present.get(name) == sql for name, sql in wanted_views(connection).items())
