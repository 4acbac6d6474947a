"""`data/results.py`, which makes the README's tables: what is finished is not done again, the tables say the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

from selfguide_lite.resources import resource

ROOT = Path(__file__).resolve().parent.parent


def results(*arguments: object) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "data/results.py", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


def test_the_table_is_made_once(tmp_path: Path) -> None:
    demo = resource("data/tasks/cheer-or-grumble.yaml")
    quick = "settings: {rounds: 1, epochs: 1}\n"
    (tmp_path / "mood.yaml").write_text(demo.read_text(encoding="utf-8") + quick, encoding="utf-8")
    held_out = demo.with_name("cheer-or-grumble.eval.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:9]
    (tmp_path / "cheer-or-grumble.eval.jsonl").write_text("".join(held_out), encoding="utf-8")
    (tmp_path / "bad.yaml").write_text(demo.read_text(encoding="utf-8").replace("eval: c", "eval: d"), encoding="utf-8")
    arguments = ("--out", tmp_path / "out", "--keep", tmp_path / "kept", tmp_path / "mood.yaml", tmp_path / "bad.yaml")
    said, _ = results(*arguments)
    table = (tmp_path / "kept" / "table.md").read_text(encoding="utf-8")
    assert table.startswith("Seed 42.\n\n| task | kind | pairs |") and table.strip() in f"Seed 42.\n\n{said}"
    lines = table.splitlines()
    answer = json.loads(said.splitlines()[-1])
    first, second = answer["tasks"]
    assert lines[4].startswith(f"| cheer-or-grumble | classification | {first['pairs']} |")
    assert first["gain"] is None and first["verdict"] in lines[4]  # nine rows tell nothing
    assert second["error"] in lines[5] and "No such file" in second["error"]

    again, progress = results(*arguments)
    assert again == said and progress == ""  # the very same seconds too: the good one was not run again
