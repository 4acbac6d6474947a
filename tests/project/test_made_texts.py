"""The demo tasks with fields: their evaluation rows are what the script writes, and the answers stand in the texts."""

from pathlib import Path

import pytest

from data.made_texts import rows_of
from data.made_texts.__main__ import SETS
from selfguide_lite.core.resources import resource
from selfguide_lite.fields import found_object
from selfguide_lite.task import load_task
from selfguide_lite.task.eval_rows import eval_rows


@pytest.mark.parametrize("name", SETS)
def test_the_rows_are_what_the_script_writes(name: str) -> None:
    path = Path(resource(f"data/tasks/{name}.yaml"))
    task = load_task(path)
    rows = eval_rows(task)
    made = rows_of(*SETS[name])
    assert [row.input for row in rows] == [row.input for row in made] and len(rows) == 100
    assert all(task.rules.score(row.references[0], [row.references[0]], ()) == 1 for row in rows)
    assert task.output_schema is not None
    verbatim = [field.name for field in task.output_schema.fields if field.verbatim]
    for row, written in zip(rows, made, strict=True):
        answer = found_object(row.references[0])
        assert answer is not None and answer.keys() == written.output.keys()
        for field in verbatim:
            assert answer[field] is None or answer[field].lower() in row.input.lower(), row
    for field in task.output_schema.fields:  # every field has many values, and an optional one is sometimes empty
        values = [str(written.output[field.name]) for written in made]
        assert len(set(values)) >= 2 and (not field.optional or 5 <= values.count("None") <= 70)
    shown = {example.input for example in task.examples}
    assert not shown & {row.input for row in rows}
