"""Writes an export into a folder, replays it there, and puts the folder in its place once all is done."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import atomic_write, new_folder, scratch
from selfguide_lite.core.paths import slug
from selfguide_lite.core.progress import Listener, NullListener
from selfguide_lite.export.card import Outcome, card, front_matter
from selfguide_lite.export.package import size_of, write_schema
from selfguide_lite.export.replay import Replay, engine_texts, replay_gguf, replay_peft
from selfguide_lite.export.targets import Target, target_named
from selfguide_lite.export.weights import MODEL, place_gguf, place_peft, place_smallest
from selfguide_lite.exporting.choice import AUTO, Choice, ExportOptions
from selfguide_lite.gguf.merge import merge
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.to_hf import EXACT_BYTES
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.prediction import answer_all
from selfguide_lite.store import Store

_EXACT = EngineOptions(tune=False, tuning={"exact": True})


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    :param merged: the type of the merged model; None: adapter and model are apart
    :param rows: that were replayed
    :param replay: None where what is needed for it is not installed
    :param changed: rows whose answers merging changed; None where nothing was merged
    :param labels: rows whose label is another than that of `predict`; None where the task has no labels, or where
        nothing was replayed
    :param objects: the same for objects, of a task with a schema
    """

    folder: Path
    bytes: int
    merged: str | None
    rows: int
    replay: Replay | None
    changed: int | None
    labels: int | None
    objects: int | None
    outcome: Outcome

    def as_json(self) -> dict[str, Any]:
        """Return it for a program."""
        replay = self.replay
        return {
            "folder": str(self.folder),
            "bytes": self.bytes,
            "merged": self.merged,
            "rows": self.rows,
            "equal": None if replay is None else self.rows - len(replay.differing),
            "through": None if replay is None else replay.through,
            "changed_by_merging": self.changed,
            "labels_other_than_predict": self.labels,
            "objects_other_than_predict": self.objects,
        }


def export(db: Path, options: ExportOptions, listener: Listener | None = None) -> Exported:
    """Write a finetuned model for another program into a folder of its own, and replay it there.

    The folder appears when all is done, and not at all where something fails.

    :param db: the run's database, which is only read
    :raises SelfguideError: where something is missing, prompting won and no adapter is named, or the files ask the
        model otherwise than it was trained
    """
    target = target_named(options.target)
    kind = options.merge_kind(target)
    with Store.open(db, read_only=True, create=False) as store:
        choice = Choice.of(store, options, kind)
    out = options.out or Path(f"{slug(choice.task.name)}-{options.target}")
    if out.exists() and not options.force:
        raise SelfguideError(f"{out}: is there already; name another folder with -o, or --force to replace it")
    with new_folder(out) as work:
        try:
            return _Writing(choice, target, work, listener or NullListener()).write(options, out)
        except SelfguideError as error:
            raise SelfguideError(str(error).replace(str(work), str(out))) from error


@dataclass(frozen=True, slots=True)
class _Writing:
    """One export in its folder."""

    choice: Choice
    target: Target
    folder: Path
    listener: Listener

    def write(self, options: ExportOptions, out: Path) -> Exported:
        """Write everything, and say what was found.

        :param out: where the folder will lie
        """
        choice, target, folder = self.choice, self.target, self.folder
        merged = choice.package.merged
        target.write(choice.package, folder)
        write_schema(choice.task, folder)
        grammar = target.grammar(folder)
        plain: list[str] = []
        if merged is not None:
            with self._engine() as engine:
                plain = engine_texts(engine, choice.rows.prompts, grammar, choice.rows.max_tokens)
        if target.weights == "peft":
            place_peft(choice.sources, folder)
        elif merged == AUTO:
            merged = self._smallest(plain, grammar, options.max_changed)
        else:
            place_gguf(choice.sources, folder, merged)
        replay = self._replayed(merged)
        changed = None
        if merged is not None and replay is not None:
            changed = sum(one != two for one, two in zip(plain, replay.engine, strict=True))
        other = None if replay is None else self._other(replay)
        outcome = self._outcome(replay, other, merged, changed)
        self._describe(outcome)
        labels, objects = (other, None) if choice.task.rules.labelled else (None, other)
        n = len(choice.rows.inputs)
        return Exported(out, size_of(folder), merged, n, replay, changed, labels, objects, outcome)

    def _engine(self, model: Path | None = None) -> AbstractContextManager[Any]:
        """Open a merged model, or the model and the adapter as they are, without a working copy in another type."""
        if model is not None:
            return open_engine(model, _EXACT)
        return open_engine(self.choice.sources.base, _EXACT, adapter=self.choice.sources.adapter)

    def _smallest(self, plain: list[str], grammar: str | None, most: float) -> str:
        rows, n = self.choice.rows, len(plain)

        def fits(model: Path, kind: str, size: int) -> bool:
            with self._engine(model) as engine:
                texts = engine_texts(engine, rows.prompts, grammar, rows.max_tokens)
            changed = sum(one != two for one, two in zip(plain, texts, strict=True))
            self.listener.note(f"{kind}, {size / 2**20:.0f} MiB: {changed} of {n} answers changed")
            return changed <= most * n

        return place_smallest(self.choice.sources, self.folder, fits)

    def _replayed(self, merged: str | None) -> Replay | None:
        """Replay the files that were written.

        :raises SelfguideError: where they ask otherwise than the model was trained, and get other answers
        """
        self.listener.note(f"replaying {len(self.choice.rows.inputs)} inputs")
        replay: Replay | None
        if self.target.weights == "gguf":
            with self._engine(self.folder / MODEL if merged is not None else None) as engine:
                replay = replay_gguf(self.target, self.folder, engine, self.choice.rows)
        else:
            with self._unrounded() as engine:
                replay = replay_peft(self.folder, engine, self.choice.rows)
        if replay is not None:
            replay.check()
        return replay

    @contextmanager
    def _unrounded(self) -> Iterator[Any]:
        """Open what a PEFT folder holds: the model's numbers in 32 bits, with the adapter added.

        On the quantized file itself llama.cpp rounds what goes through the model too, which PEFT does not. A model
        whose folder is in 16 bits is opened as it is.
        """
        sources = self.choice.sources
        with GgufFile(sources.base) as gguf:
            exact = sum(info.elements for info in gguf.tensors.values()) * 4 <= EXACT_BYTES
        if not exact:
            with self._engine() as engine:
                yield engine
            return
        with scratch(self.folder / "unrounded.gguf") as whole:
            merge(sources.base, sources.adapter, whole, "f32", chat_template=sources.template)
            with self._engine(whole) as engine:
                yield engine

    def _other(self, replay: Replay) -> int | None:
        """Return in how many rows the label or object in a text is another than that of `predict`."""
        choice, task = self.choice, self.choice.task
        if not (task.rules.labelled or task.rules.structured):
            return None
        sources, rows = choice.sources, choice.rows
        with open_engine(sources.base, EngineOptions(tune=False), adapter=sources.adapter) as engine:
            found = answer_all(engine, task, choice.prompts, rows.inputs, rows.max_tokens, choice.way)
            predicted = [answer.label for answer in found]
        parsed = [task.rules.parse(text, task.labels) for text in replay.target]
        return sum(one != two for one, two in zip(parsed, predicted, strict=True))

    def _outcome(self, replay: Replay | None, other: int | None, merged: str | None, changed: int | None) -> Outcome:
        n = len(self.choice.rows.inputs)
        what = "object" if self.choice.task.rules.structured else "label"
        if replay is None:
            return Outcome(["Not replayed: torch, transformers and peft are not all installed"])
        return Outcome(
            [replay.sentence, *replay.details()],
            None
            if other is None
            else f"In {other} of {n} rows the {what} in that text is another than the one that `predict` "
            f"({self.choice.way.method}) answers",
            None if changed is None else f"Merged as {merged}: {changed} of {n} answers changed by it",
        )

    def _describe(self, outcome: Outcome) -> None:
        """Write README and card; a folder in PEFT's form has both in one file, as model hubs want it."""
        choice, target = self.choice, self.target
        package = choice.package
        told = card(choice.task, package.facts, outcome)
        usage = target.usage(package)
        if target.weights == "peft":
            files = {"README.md": f"{front_matter(choice.task, package.facts)}\n{told}\n## Use\n\n{usage}"}
        else:
            title = f"# {target.summary}\n\nMade by selfguide-lite. What the model is and is not: CARD.md.\n\n"
            files = {"README.md": title + usage, "CARD.md": told}
        for name, text in files.items():
            with atomic_write(self.folder / name) as part:
                part.write_text(text, encoding="utf-8")
