"""An export is replayed: what its files write is compared with what the engine writes with the same weights.

Knows nothing of stores.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError, short
from selfguide_lite.core.messages import Message, Written
from selfguide_lite.core.resources import resource
from selfguide_lite.export.programs import Job, program_found, program_texts
from selfguide_lite.export.targets import Target
from selfguide_lite.llm.base import Request

Prompt = tuple[Message, ...] | str
_SECONDS = 3600
_PEFT = ("torch", "transformers", "peft")


@dataclass(frozen=True, slots=True)
class Rows:
    """What is asked in a replay.

    :param inputs: as a user gives them
    :param prompts: the messages that the engine is given for each
    """

    inputs: Sequence[str]
    prompts: Sequence[tuple[Message, ...]]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Replay:
    """What the files wrote, beside what the engine wrote.

    :param through: what computed the texts of the files
    :param same_prompt: for each row, whether both were given the same tokens
    """

    inputs: Sequence[str]
    engine: Sequence[str]
    target: Sequence[str]
    same_prompt: Sequence[bool]
    through: str

    @property
    def differing(self) -> list[int]:
        """The rows whose texts differ."""
        return [row for row, (ours, theirs) in enumerate(zip(self.engine, self.target, strict=True)) if ours != theirs]

    @property
    def sentence(self) -> str:
        """How many are equal."""
        n, equal = len(self.inputs), len(self.inputs) - len(self.differing)
        return (
            f"{equal} of {n} answers equal: from these files {self.through}, "
            "and from the engine with the same weights and prompt"
        )

    def details(self, most: int = 3) -> list[str]:
        """Return what differs, a line for each row."""
        return [
            f"{short(self.inputs[row])!r}: {short(self.target[row])!r}, and the engine {short(self.engine[row])!r}"
            + ("" if self.same_prompt[row] else " (the prompt differs too)")
            for row in self.differing[:most]
        ]

    def check(self) -> None:
        """Refuse an export that asks otherwise than the model was trained.

        :raises SelfguideError: where answers differ whose prompts do
        """
        wrong = [row for row in self.differing if not self.same_prompt[row]]
        if wrong:
            raise SelfguideError(
                f"the export was not written: in {len(wrong)} of {len(self.inputs)} rows its prompt is not the one "
                "that the model was trained on, and the answer is another one, such as for "
                f"{short(self.inputs[wrong[0]])!r}"
            )


def engine_texts(engine: Any, prompts: Sequence[Prompt], grammar: str | None, max_tokens: int) -> list[str]:
    """Return the engine's greedy text after each prompt.

    :param grammar: that answers are held to; None: there is none
    :raises SelfguideError: where a prompt cannot be answered
    """
    if grammar is not None:
        return [text.strip() for text in engine.constrained(prompts, grammar, max_tokens)]
    found: dict[int, str] = {}
    for made in engine.complete(
        Request(key=str(row), messages=prompt, max_tokens=max_tokens) for row, prompt in enumerate(prompts)
    ):
        if made.error is not None:
            raise SelfguideError(f"row {int(made.key) + 1} of the replay: {made.error}")
        found[int(made.key)] = made.text.strip()
    return [found[row] for row in range(len(prompts))]


def replay_gguf(target: Target, folder: Path, engine: Any, rows: Rows) -> Replay:
    """Replay an export whose weights are GGUF files.

    :param engine: with the very weights that were written
    """
    grammar = target.grammar(folder)
    written = [Written(_whole(target.prompt(folder, given))) for given in rows.inputs]
    same = [
        engine.prompt_tokens(one) == engine.prompt_tokens(two) for one, two in zip(rows.prompts, written, strict=True)
    ]
    ours = engine_texts(engine, rows.prompts, grammar, rows.max_tokens)
    program = program_found()
    if program is None:
        theirs = engine_texts(engine, written, grammar, rows.max_tokens)
        through = "through the engine (no llama.cpp program is on PATH)"
    else:
        theirs = program_texts(program, Job(folder, written, grammar, engine.chat.stops, engine.n_ctx, rows.max_tokens))
        through = f"through {program}"
    return Replay(rows.inputs, ours, theirs, same, through)


def replay_peft(folder: Path, engine: Any, rows: Rows) -> Replay | None:
    """Replay an export whose weights are a LoRA in PEFT's form; None where its libraries are not installed.

    :param engine: with the GGUF and the adapter that were turned into it
    :raises SelfguideError: where the files cannot be used
    """
    if any(find_spec(name) is None for name in _PEFT):
        return None
    program = resource("finetune/peft_answers.py")
    done = subprocess.run(
        [sys.executable, str(program), "--cpu", "--folder", str(folder), "--jsonl"],
        input="".join(json.dumps(given) + "\n" for given in rows.inputs),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise SelfguideError(f"the export was not written: transformers and PEFT cannot use it: {last[0]}")
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    same = [engine.prompt_tokens(ours) == one["prompt"] for ours, one in zip(rows.prompts, found, strict=True)]
    texts = [str(one["text"]).strip() for one in found]
    ours = engine_texts(engine, rows.prompts, None, rows.max_tokens)
    return Replay(rows.inputs, ours, texts, same, "through transformers and PEFT on the processor")


def _whole(prompt: Prompt) -> str:
    if not isinstance(prompt, str):
        raise SelfguideError("a target whose weights are GGUF files gives a whole prompt as text")
    return prompt
