"""A form of a record from another package, found by an entry point."""

import json
from pathlib import Path

from click.testing import CliRunner
from datasets_for_tests import filled
from plugins_for_tests import Plugins

from selfguide_lite.cli import main
from selfguide_lite.core.registry import FORMS
from selfguide_lite.tabular import read_table

SOURCE = '''
class Form:
    """Question and answer in capitals, and whether the answer is short."""

    summary = "as a trainer of our own reads it"
    columns = {"QUESTION": None, "TURNS": {"text": str, "short": bool}}

    def record(self, exchange):
        turns = [{"text": exchange.output.upper(), "short": len(exchange.output) < 5}]
        return {"QUESTION": exchange.input.upper(), "TURNS": turns}
'''


def test_a_form_is_one_class_also_from_another_package(tmp_path: Path, plugins: Plugins) -> None:
    plugins.install("own_form", SOURCE, {"selfguide_lite.dataset_files.forms": {"capitals": "Form"}})
    db = filled(tmp_path / "colours.db", n=2)
    assert "capitals" in FORMS.names()
    for place in ("made.jsonl", "made.parquet", "made"):
        words = ["dataset", "-d", str(db), "--format", "capitals", "-o", str(tmp_path / place)]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
    expected = [
        {"QUESTION": "A SKY WITH THE NUMBER 0", "TURNS": [{"text": "BLUE", "short": True}]},
        {"QUESTION": "A SEA WITH THE NUMBER 7", "TURNS": [{"text": "GREEN", "short": False}]},
    ]
    lines = (tmp_path / "made.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == expected
    for place in ("made.parquet", "made"):
        assert [dict(row.values) for row in read_table(tmp_path / place).read()] == expected
