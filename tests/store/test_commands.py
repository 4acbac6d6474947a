"""status, sql, dataset, show, filter and browse, driven as a user does, over a real file."""

import csv
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from browsing import browsing
from click.testing import CliRunner, Result

from selfguide_lite.cli import main
from selfguide_lite.core.listening import listening
from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.core.registry import FORMS
from selfguide_lite.core.settings import Settings
from selfguide_lite.prompts import Prompts
from selfguide_lite.store import NewInput, NewOutput, Store, browse
from selfguide_lite.task import Example, Task

MOOD = Task(
    name="mood",
    kind="classification",
    instruction="Say how it sounds.",
    labels=("good", "bad"),
    examples=(Example(input="what a fine day", output="good"), Example(input="rain again", output="bad")),
    settings=Settings(input_length_filter=False),
)
HOSTILE = [
    "=HYPERLINK(1)",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\x1b[31mred\x1b[0m \x07",
    "[bold red]x[/bold red] [link=file:///etc/passwd]y[/]",
    "{{ 7 * 7 }} {% for x in y %}",
    "'); DROP TABLE input; --",
    "<script>alert(1)</script>",
    'quote " comma, line\nbreak',
    "\u202eright to left",
]

Run = Callable[..., Result]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Two pairs, and one input for each way to be left out."""
    path = tmp_path / "mood.db"
    with Store.open(path) as store:
        task_id = store.add_task(MOOD)
        model = store.add_model(ModelInfo("tiny", "/tiny.gguf", "ab" * 32, "llama", 5))
        template = Prompts().input_template(MOOD)
        run = store.start_run(task_id, "generate", model, MOOD.settings, 17, template)
        texts = ["sun in May", "cold wind", "SUN  in may", "sure, here it is", "rain again", "", "never answered"]
        for number, text in enumerate(texts):
            pool = (1,) if number else ()
            store.add_input(NewInput(task_id, run, 0, number, text, label="good", seed_inputs=(1, 0), pool_inputs=pool))
        for shown, answers in ((1, ["Good.", "good", "bad"]), (2, ["bad", "bad", "no idea"])):
            store.add_outputs([NewOutput(shown, run, n, answer) for n, answer in enumerate(answers)])
    return path


@pytest.fixture
def selfguide(db: Path) -> Run:
    """Run a command on the database, and fail on a traceback."""

    def run(*arguments: str, fails: bool = False) -> Result:
        result = CliRunner().invoke(main, [*arguments, "-d", str(db)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert (result.exit_code != 0) == fails, result.output
        return result

    return run


@pytest.mark.slow
def test_status_shows_the_way_from_prompts_to_pairs(selfguide: Run) -> None:
    shown = selfguide("status").output
    for line in (
        "input: 7 prompts answered",
        "dropped: duplicate  1     14.3%",
        "dropped: label  1     16.7%",
        "unanswered  1",
        "good",
    ):
        assert line in shown, shown
    told = json.loads(selfguide("status", "--json").output)
    assert {"stage": "dataset", "reason": "kept", "n": 2} in told["funnel"]
    assert told["labels"] == [
        {"label": "good", "answers": 1, "pairs": 1},
        {"label": "bad", "answers": 1, "pairs": 1},
    ]


@pytest.mark.slow
def test_sql_answers_in_every_form(selfguide: Run) -> None:
    question = "select input_id, output, null as lack, x'00ff' as raw from dataset order by 1"
    rows = [
        {"input_id": 1, "output": "good", "lack": None, "raw": "x'00ff'"},
        {"input_id": 2, "output": "bad", "lack": None, "raw": "x'00ff'"},
    ]
    assert json.loads(selfguide("sql", question, "--json").output) == rows
    assert [json.loads(line) for line in selfguide("sql", question, "--jsonl").output.splitlines()] == rows
    lines = selfguide("sql", question, "--csv").output.splitlines()
    assert lines == ["input_id,output,lack,raw", "1,good,,x'00ff'", "2,bad,,x'00ff'"]
    table = selfguide("sql", question).output.splitlines()
    assert table[0].split() == ["input_id", "output", "lack", "raw"] and table[2].split() == ["1", "good", "x'00ff'"]
    assert selfguide("sql", "select 1 where 0", "--json").output == "[]\n"
    assert selfguide("sql", "select 9e999 as x", "--json").output == '[{"x": "inf"}]\n'
    assert selfguide("sql", "explain query plan select * from dataset").output


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("delete from input", "readonly"),
        ("update setting set value = 0", "readonly"),
        ("create table x (y)", "readonly"),
        ("insert into noise_term values (1, 'x') returning *", "readonly"),
        ("drop view dataset", "readonly"),
        ("attach 'other.db' as other", "not authorized"),
        ("vacuum into 'other.db'", "denied"),
        ("pragma journal_mode = delete", "not authorized"),
        ("pragma query_only = 0", "not authorized"),
        ("select load_extension('x')", "not authorized"),
        ("select 1; delete from input", "several statements"),
        ("selct 1", "syntax error"),
        ("select * from nowhere", "no such table"),
        ("select abs(-9223372036854775808)", "overflow"),
    ],
)
def test_sql_only_reads(selfguide: Run, db: Path, statement: str, says: str) -> None:
    before = subprocess.run(["sha256sum", str(db)], capture_output=True, check=True).stdout
    result = selfguide("sql", statement, fails=True)
    assert says in result.output and result.output.count("\n") == 1
    assert subprocess.run(["sha256sum", str(db)], capture_output=True, check=True).stdout == before
    assert sorted(path.name for path in db.parent.iterdir()) == ["mood.db"]


def test_sql_ends_quietly_when_its_reader_goes_away(db: Path) -> None:
    many = "with recursive n(i) as (select 1 union all select i + 1 from n limit 300000) select i, 'some text' from n"
    command = f'{sys.executable} -m selfguide_lite sql --csv -d {db} "{many}" | head -n 2'
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert ran.stdout.splitlines()[1] == "1,some text" and ran.stderr == ""


@pytest.mark.slow
def test_dataset_in_every_form_and_format(selfguide: Run, tmp_path: Path) -> None:
    pairs = [{"input": "sun in May", "output": "good"}, {"input": "cold wind", "output": "bad"}]
    alpaca = [{"instruction": MOOD.instruction, **pair} for pair in pairs]

    def turns(text: str, style: str) -> list[dict[str, str]]:
        return [{"role": m.role, "content": m.content} for m in Prompts().answer(MOOD, text, style)]

    shown = [turns(pair["input"], "few-shot") for pair in pairs]
    said = [{"role": "assistant", "content": pair["output"]} for pair in pairs]
    chat = [{"messages": [*before, last]} for before, last in zip(shown, said, strict=True)]
    apart = [{"prompt": before, "completion": [last]} for before, last in zip(shown, said, strict=True)]
    marked = [
        {"messages": [*({**one, "training": False} for one in before), {**last, "training": True}]}
        for before, last in zip(shown, said, strict=True)
    ]
    assert len(shown[0]) == 2 * len(MOOD.examples) + 1
    forms = {"pairs": pairs, "alpaca": alpaca, "chat": chat, "prompt-completion": apart, "axolotl": marked}
    assert FORMS.names() == tuple(sorted(forms))
    for form, expected in forms.items():
        assert [json.loads(line) for line in selfguide("dataset", "--format", form).output.splitlines()] == expected
        for ending in ("jsonl", "csv", "parquet"):
            path = tmp_path / f"{form}.{ending}"
            selfguide("dataset", "--format", form, "-o", str(path))
            assert read_records(path) == expected
    bare = selfguide("dataset", "--format", "chat", "--answer-style", "bare").output.splitlines()
    assert [json.loads(line)["messages"] for line in bare] == [
        [*turns(pair["input"], "bare"), last] for pair, last in zip(pairs, said, strict=True)
    ]
    assert json.loads(bare[0])["messages"][0]["content"] == f"{MOOD.instruction}\n\nsun in May"
    assert not [path for path in tmp_path.iterdir() if ".part" in path.name]


def read_records(path: Path) -> list[dict[str, object]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".csv":
        with path.open(newline="") as handle:
            rows = list(csv.DictReader(handle))
        turns = ("messages", "prompt", "completion")
        return [{k: json.loads(v) if k in turns else v for k, v in row.items()} for row in rows]
    parquet = pytest.importorskip("pyarrow.parquet")
    found: list[dict[str, object]] = parquet.read_table(path).to_pylist()
    return found


def test_dataset_refuses_what_it_cannot_write(selfguide: Run, tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text("old")
    (tmp_path / "file").write_text("")
    assert "one of .jsonl, .csv, .parquet" in selfguide("dataset", "-o", str(tmp_path / "x.xlsx"), fails=True).output
    assert "cannot write" in selfguide("dataset", "-o", str(tmp_path / "file" / "x.csv"), fails=True).output
    assert "no form of a record 'sharegpt'" in selfguide("dataset", "--format", "sharegpt", fails=True).output
    assert (tmp_path / "old.jsonl").read_text() == "old"


@pytest.mark.slow
def test_hostile_texts_are_only_texts(selfguide: Run, db: Path, tmp_path: Path) -> None:
    with Store.open(db) as store:
        store.set_setting(1, "noise_filter", 0)
        store.set_setting(1, "balance", 0)
        for number, text in enumerate(HOSTILE):
            shown = store.add_input(NewInput(1, 1, 1, number, text, pool_inputs=(1,), seed_inputs=(0, 1)))
            store.add_outputs([NewOutput(shown, 1, 0, f"{text} good")])
    for path in (tmp_path / "a.jsonl", tmp_path / "a.parquet"):
        selfguide("dataset", "-o", str(path))
        assert {str(record["input"]) for record in read_records(path)} > set(HOSTILE)
    selfguide("dataset", "-o", str(tmp_path / "a.csv"))
    cells = [str(cell) for record in read_records(tmp_path / "a.csv") for cell in record.values()]
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r\n"]
    assert [cell for cell in cells if cell.startswith(("'=", "'+", "'-", "'@"))] == ["'" + text for text in HOSTILE[:4]]
    for command in (["status"], ["sql", "select * from output"], ["filter", "list"], ["show", "12"]):
        assert_plain(selfguide(*command).output)
    for number, text in enumerate(HOSTILE):
        shown_text = selfguide("show", str(8 + number)).output
        assert_plain(shown_text)
        if text.isprintable():
            assert text in shown_text  # neither markup nor template has eaten any of it
    assert selfguide("sql", "select count(*) from input", "--csv").output == f"count(*)\n{7 + len(HOSTILE)}\n"


def assert_plain(text: str) -> None:
    assert all(character == "\n" or character.isprintable() for character in text), repr(text)


def test_show_tells_the_life_of_an_input(selfguide: Run) -> None:
    shown = selfguide("show", "2").output
    for part in (
        "round 0, prompt 1",
        'Write one text whose answer is "good".\n\nprompt, assistant\n  sun in May',  # the pool input that was shown
        'whose answer is "bad".\n\nprompt, assistant\n  rain again',  # the seed inputs in the order of the prompt
        'whose answer is "good".\n\nprompt, assistant\n  what a fine day',
        "verdict: kept",
        "label (none of the labels)",
        "bad         2  66.7%",
        "in the dataset as\n  bad",
        "SHA-256 abababababababab), seed 17",
    ):
        assert part in shown, shown
    told = json.loads(selfguide("show", "2", "--json").output)
    assert (told["output"], told["why_not"], told["messages"][0]["role"]) == ("bad", None, "user")


@pytest.mark.parametrize(
    ("number", "says"),
    [
        ("3", "verdict: rejected: duplicate (same as input 1)"),
        ("4", "verdict: rejected: noise (sure, here)"),
        ("5", "verdict: rejected: echo (same as seed example 1)"),
        ("6", "not in the dataset: the input was rejected: empty"),
        ("7", "not in the dataset: it has no answers yet"),
    ],
)
def test_show_tells_why_an_input_was_left_out(selfguide: Run, number: str, says: str) -> None:
    assert says in selfguide("show", number).output


def test_show_says_which_ids_there_are(selfguide: Run) -> None:
    assert "has no input 99; the ids go from 1 to 7" in selfguide("show", "99", fails=True).output


@pytest.mark.slow
def test_a_filter_of_ones_own_counts_until_it_is_dropped(selfguide: Run) -> None:
    statement = "select id, 'about wind' as detail from input where text like '%wind%' or text = ''"
    assert "rejects 2 inputs" in selfguide("filter", "add", "wind", statement, "--stage", "input").output
    rows = {(r["stage"], r["name"]): r for r in json.loads(selfguide("filter", "list", "--json").output)["filters"]}
    assert (rows["input", "wind"]["rejects"], rows["input", "wind"]["alone"], rows["input", "wind"]["own"]) == (
        2,
        1,
        True,
    )
    assert (rows["input", "empty"]["rejects"], rows["input", "empty"]["alone"]) == (1, 0)
    assert "rejected: wind (about wind)" in selfguide("show", "2").output
    assert (
        "exists; drop it first" in selfguide("filter", "add", "wind", statement, "--stage", "input", fails=True).output
    )
    selfguide(
        "filter", "add", "short", "select id, text as detail from output where length(text) < 5;", "--stage", "output"
    )
    assert {"stage": "output", "reason": "short", "n": 2} in json.loads(selfguide("status", "--json").output)["funnel"]
    narrow = "select input_id as id, 'narrow' as detail from answer where confidence < 0.9"
    assert "rejects 1 answers" in selfguide("filter", "add", "narrow", narrow, "--stage", "answer").output
    assert {"stage": "answer", "reason": "narrow", "n": 1} in json.loads(selfguide("status", "--json").output)["funnel"]
    assert "its answer was rejected: narrow (narrow)" in selfguide("show", "1").output
    selfguide("filter", "drop", "narrow")
    selfguide("filter", "drop", "wind")
    selfguide("filter", "drop", "short")
    assert "verdict: kept" in selfguide("show", "2").output


@pytest.mark.parametrize(
    ("name", "statement", "says"),
    [
        ("x", "delete from input", "must be a SELECT"),
        ("x", "select id, 'y' as detail from input; drop table input", "several statements"),
        ("x", "with a as (select 1) delete from input", "syntax error"),
        ("x", "select id from input", "must give the columns id, detail and gives id"),
        ("x", "select id, text from input", "gives id, text"),
        ("x", "select nope as id, 'y' as detail from input", "no such column"),
        ("x", "select id, 'y' as detail from nowhere", "no such table"),
        ("x", "select id + 1000 as id, 'y' as detail from input", "the id 1001, which no row of input has"),
        ("x", "select null as id, 'y' as detail", "the id None"),
        ("x", "select id, reason as detail from input_verdict", "may not read input_verdict"),
        ("x", "select input_id as id, 'y' as detail from dataset", "may not read dataset"),
        ("x", "select id, ? as detail from input", "parameters"),
        ("x", "", "must be a SELECT"),
        ("X y", "select id, 'y' as detail from input", "lower-case"),
        ("noise", "select id, 'y' as detail from input", "shipped"),
    ],
)
def test_a_wrong_filter_is_one_line_and_the_file_is_as_it_was(
    selfguide: Run, db: Path, name: str, statement: str, says: str
) -> None:
    def dump() -> list[str]:
        with Store.open(db) as store:
            return list(store.connection.iterdump())

    before = dump()
    result = selfguide("filter", "add", name, statement, "--stage", "input", fails=True)
    assert says in result.output and result.output.count("\n") == 1
    assert dump() == before


@pytest.mark.slow
def test_filter_set_and_noise_change_the_dataset(selfguide: Run) -> None:
    assert "min_vote_share is 0.7: 2 pairs before, 0 now" in selfguide("filter", "set", "min_vote_share", "0.7").output
    assert "min_vote_share is 0.3: 0 pairs before, 2 now" in selfguide("filter", "set", "min_vote_share", "0.3").output
    assert "is false" in selfguide("filter", "set", "noise_filter", "off").output
    assert "is none" in selfguide("filter", "set", "near_duplicate_threshold", "off").output
    refused = selfguide("filter", "set", "min_vote_share", "2", fails=True).output
    assert "allowed: number, at least 0, at most 1" in refused
    assert "epochs is 2.0, from the next run on" in selfguide("filter", "set", "epochs", "2").output
    selfguide("filter", "set", "noise_filter", "on")
    assert "2 pairs before, 1 now" in selfguide("filter", "noise", "WIND").output
    assert "WIND" in selfguide("filter", "noise").output
    assert "1 pairs before, 2 now" in selfguide("filter", "noise", "--drop", "WIND").output
    assert "not among this task's" in selfguide("filter", "noise", "--drop", "WIND", fails=True).output
    assert "is shipped and stays" in selfguide("filter", "drop", "noise", fails=True).output
    assert "no such filter of yours" in selfguide("filter", "drop", "none", fails=True).output


def test_the_commands_say_in_a_line_what_is_wrong_with_the_file(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("no database" * 200)
    for command in (["status"], ["sql", "select 1"], ["dataset"], ["show", "1"], ["filter", "list"], ["browse"]):
        for path, says in ((text, "not a SQLite database"), (tmp_path / "none.db", "no such database")):
            result = CliRunner().invoke(main, [*command, "-d", str(path)])
            assert result.exit_code == 1 and says in result.output, result.output
            assert result.output.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["text.db"]


@pytest.mark.slow
def test_browse_serves_descriptions_and_queries_on_this_machine_only(db: Path) -> None:
    pytest.importorskip("datasette")
    with browsing(db) as served:
        address, cookie = served.address, served.cookie
        assert "The training pairs." in fetch(f"{address}/mood/dataset", cookie)
        for page in ("/", "/mood"):  # the first things first, the internals folded away
            shown = fetch(f"{address}{page}", cookie)
            places = [shown.index(f'href="/mood/{name}"') for name in ("dataset", "input_verdict", "funnel")]
            assert places == sorted(places) and "input_band" not in shown.split("<details id")[0]
        assert shown.index("<details id") < shown.index("input_band") and "<details open" not in shown
        votes = json.loads(fetch(f"{address}/mood/what_the_samples_voted.json?input_id=1&_shape=array", cookie))
        assert [(row["answer"], row["n"]) for row in votes] == [("good", 2), ("bad", 1)]
        for name in (
            "why_dropped.json?text=sun",
            "weak_labels.json",
            "close_calls.json",
            "rejected_outputs.json",
            "where_from.json",
        ):
            assert json.loads(fetch(f"{address}/mood/{name}", cookie))["rows"], name


def test_browse_on_a_port_that_is_taken(db: Path) -> None:
    """A port that was named is refused in one line; without one a free one is found."""
    with listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(main, ["browse", "--port", str(port), "-d", str(db)])
        assert done.exit_code == 1 and done.output.count("\n") == 1 and f"port {port}: cannot listen" in done.output
        assert "--port" in done.output
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(browse, "USUAL_PORT", port)
            assert browse._free_port(None) not in (0, port)


def fetch(address: str, cookie: str) -> str:
    for _ in range(50):
        try:
            with urllib.request.urlopen(
                urllib.request.Request(address, headers={"Cookie": cookie}), timeout=60
            ) as answer:
                return str(answer.read().decode())
        except ConnectionError:
            time.sleep(0.1)
    raise AssertionError(address)
