"""What a target knows of the model that it carries."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.paths import slug
from selfguide_lite.export.card import Facts
from selfguide_lite.export.prompt_text import PromptText
from selfguide_lite.store import Pair
from selfguide_lite.task import Task

SCHEMA = "schema.json"


@dataclass(frozen=True, slots=True)
class Package:
    """A finetuned model on its way out.

    :param merged: the type in which adapter and model were written as one; None: apart
    :param context: tokens of prompt and answer
    :param max_tokens: of an answer
    :param rank: of the LoRA
    :param chat_template: Jinja2 source
    :param pairs: of the dataset
    """

    task: Task
    prompt: PromptText
    facts: Facts
    merged: str | None
    context: int
    max_tokens: int
    rank: int
    chat_template: str
    pairs: Sequence[Pair]

    @property
    def name(self) -> str:
        """The task's name as every program takes it: small letters, digits, `.`, `_` and `-`."""
        plain = self.task.name.lower().encode("ascii", "replace").decode()
        return slug(re.sub(r"[^a-z0-9._-]+", "-", plain))

    def prompt_json(self) -> dict[str, Any]:
        """Return the prompt for a program that renders the chat template itself: `prompt.json`."""
        prompt = self.prompt
        return {
            "messages": [{"role": message.role, "content": message.content} for message in prompt.messages],
            "input": {"role": prompt.role, "before": prompt.input_before, "after": prompt.input_after},
            "max_tokens": self.max_tokens,
            "stops": list(prompt.stops),
            "stop_texts": list(prompt.stop_texts),
        }


def write_schema(task: Task, folder: Path) -> None:
    """Write the schema of a task's answers as JSON Schema; nothing where they are no objects."""
    if task.answer_schema is None:
        return
    with atomic_write(folder / SCHEMA) as part:
        text = json.dumps(task.answer_schema.json_schema(), indent=1, ensure_ascii=False)
        part.write_text(f"{text}\n", encoding="utf-8")


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
