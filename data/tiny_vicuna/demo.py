"""Writes the tests' tasks: a task file with three examples, and evaluation rows of the same world with another seed."""

import json
from pathlib import Path
from random import Random

import yaml

from data.tiny_vicuna.tasks import MadeTask, demo_tasks
from data.tiny_vicuna.world import Sentence, World
from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.resources import resource

ROWS = 300
Pair = tuple[Sentence, str]


def _draw(task: MadeTask, seed: int, count: int, talk_share: float) -> list[Pair]:
    """Different pairs; for classification the labels take turns."""
    world = World(Random(seed), unseen=True, talk_share=talk_share)
    pairs: dict[str, Pair] = {}
    while len(pairs) < count:
        label = task.labels[len(pairs) % len(task.labels)] if task.labels else None
        sentence, answer = task.make(world, label)
        pairs.setdefault(sentence.text, (sentence, answer))
    return list(pairs.values())


def _covered(shown: list[str], texts: list[str]) -> float:
    """Share of texts whose length lies within two standard deviations of those shown."""
    lengths = [len(text) for text in shown]
    mean = sum(lengths) / len(lengths)
    variance = sum((length - mean) ** 2 for length in lengths) / len(lengths)
    return sum((len(text) - mean) ** 2 < 4 * variance for text in texts) / len(texts)


def examples(task: MadeTask, count: int = 3) -> list[Pair]:
    """Seed examples as a careful user would pick them: of different lengths, every label among them."""
    others = _draw(task, 7, 400, 0.5)
    for seed in range(1000, 2000):
        shown = _draw(task, seed, count, 0.34)
        inputs = _covered([s.text for s, _ in shown], [s.text for s, _ in others])
        outputs = 1.0 if task.labels else _covered([a for _, a in shown], [a for _, a in others])
        if inputs >= 0.85 and outputs >= 0.85 and sum(s.talk > 0.1 for s, _ in shown) == 1:
            return shown
    raise ValueError(f"{task.name}: no seed gives examples of different lengths")


def paper_settings(kind: str) -> dict[str, object]:
    """Return the paper's settings, with labels scored: what the tests' tasks are run with."""
    paper = yaml.safe_load(resource("data/settings/paper.yaml").read_text(encoding="utf-8"))
    return {**paper, "method": "score" if kind == "classification" else "sample"}


def write_demo_tasks(folder: Path) -> None:
    """Write `NAME.yaml` and `NAME.eval.jsonl` for every task."""
    for task in demo_tasks():
        shown = examples(task)
        taken = {sentence.text for sentence, _ in shown}
        rows = [pair for pair in _draw(task, 99, ROWS + len(shown), 0.5) if pair[0].text not in taken][:ROWS]
        content: dict[str, object] = {"name": task.name, "kind": task.kind, "instruction": task.instruction}
        if task.labels:
            content["labels"] = list(task.labels)
        content["examples"] = [{"input": sentence.text, "output": answer} for sentence, answer in shown]
        content["eval"] = f"{task.name}.eval.jsonl"
        content["settings"] = paper_settings(task.kind)
        text = (
            "# A test task over the tiny model's made-up world, with the paper's settings. Made by data/tiny_vicuna.\n"
        )
        text += yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
        with atomic_write(folder / f"{task.name}.yaml") as temporary:
            temporary.write_text(text, encoding="utf-8")
        lines = [json.dumps({"input": sentence.text, "output": answer}) + "\n" for sentence, answer in rows]
        with atomic_write(folder / f"{task.name}.eval.jsonl") as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")
