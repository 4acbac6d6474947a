"""What is looked at after a run was killed: nothing that was committed is lost, and nothing is there by half."""

import re
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from robust_runs import check_sound, rows_of

# Rounded: another number of sequences or threads, measured while the machine is busy, moves the seventh digit.
INPUTS = (
    "SELECT round, prompt, label, seed_inputs, text, finish_reason, round(mean_logprob, 4) FROM input"
    " ORDER BY round, prompt"
)
OUTPUTS = (
    "SELECT i.round, i.prompt, o.method, o.sample, o.text, o.label, round(o.weight, 4), round(o.logprob, 4),"
    " o.finish_reason"
    " FROM output AS o JOIN input AS i ON i.id = o.input_id ORDER BY i.round, i.prompt, o.method, o.sample"
)
DATASET = "SELECT * FROM dataset ORDER BY input_id"
PREDICTIONS = (
    "SELECT e.method, p.number, p.input, p.text, p.score FROM prediction AS p JOIN evaluation AS e"
    " ON e.id = p.evaluation_id ORDER BY e.method, p.number"
)
STEPS = "SELECT step, total, epoch, loss, learning_rate, grad_norm FROM train_step ORDER BY step"
# What is committed must stay; a training step alone may be made again, from the last checkpoint on.
_KEPT = (
    "SELECT id, round, prompt, text, finish_reason, seed_inputs, pool_inputs FROM input",
    "SELECT id, input_id, method, sample, text, weight FROM output",
    "SELECT run_id, step, total FROM train_step",
    "SELECT evaluation_id, number, text, score FROM prediction",
    "SELECT id, sha256 FROM adapter",
)

Rows = list[set[tuple[Any, ...]]]


def committed(db: Path) -> Rows:
    """The rows that must outlive a kill, a set for each table."""
    with suppress(sqlite3.OperationalError):  # killed before there were tables
        return [set(rows_of(db, sql)) for sql in _KEPT]
    return [set() for _ in _KEPT]


def check_after_a_kill(db: Path, before: Rows) -> None:
    """Everything that was there is there; nothing is there by half."""
    check_sound(db)
    after = committed(db)
    for had, has in zip(before, after, strict=True):
        assert had <= has
    if any(after):
        assert not rows_of(db, "SELECT 1 FROM input WHERE text IS NULL OR seed_inputs IS NULL OR finish_reason IS NULL")
        assert not rows_of(db, "SELECT 1 FROM input GROUP BY task_id, round, prompt HAVING count(*) > 1")
        # the answers to an input come together or not at all
        assert not rows_of(db, "SELECT 1 FROM output GROUP BY input_id, method HAVING count(*) <> 2")
        assert not rows_of(db, "SELECT 1 FROM output WHERE answer_id = 0")


def check_asked_once(said: str, before: Rows, evaluated: int) -> None:
    """What a run says is in the store already is what was committed: it asks for the rest alone.

    :param evaluated: rows of the evaluation
    """
    inputs, outputs, _, predictions, _ = map(len, before)
    already = {stage: int(n) for stage, n in re.findall(r"(\w+): \d+ to do(?:, (\d+) of them)", said) if n}
    stages = re.findall(r"(\w+): \d+ to do", said)
    for stage, had in (("generate", inputs), ("annotate", outputs // 2)):
        if stage in stages:
            assert already.get(stage, 0) == had, said
    if stages.count("evaluate") == 1 and "generate" not in stages and "train" not in stages:
        assert already.get("evaluate", 0) == predictions % evaluated, said
