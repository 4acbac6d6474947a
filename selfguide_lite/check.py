"""What is wrong with a task file, and what in it will work badly. Knows nothing of stores and makes nothing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Literal, Protocol

from selfguide_lite.core.errors import SelfguideError, short
from selfguide_lite.core.messages import Message
from selfguide_lite.core.renamed import RENAMED_SETTINGS
from selfguide_lite.core.settings import Settings
from selfguide_lite.core.yaml_file import Places
from selfguide_lite.fields import absent_values, found_object
from selfguide_lite.methods.asking import Room, check_room
from selfguide_lite.prompts import Prompts
from selfguide_lite.synthesis.generate import PromptSampler, prompt_budget
from selfguide_lite.task import OwnRows, Task, effective_noise_terms, fold, has_noise, read_task

_NEAR_CONTEXT = 0.75  # a prompt that fills more of the context than this leaves too little for the answer
_WANTED_EXAMPLES = 3


class TokenCounter(Room, Protocol):
    """The part of an engine that counts; a tokenizer alone will do."""

    def count_tokens(self, messages: Sequence[Message] | str) -> int:
        """Number of prompt tokens."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about a task file.

    :param level: an error stops a run, a warning does not
    :param line: from 1
    :param column: from 1
    :param field: such as `examples.1.output`, empty for the whole file
    """

    level: Literal["error", "warning"]
    line: int
    column: int
    field: str
    message: str


def check_file(
    path: Path, prompts: Prompts | None = None, counter: TokenCounter | None = None
) -> tuple[Task | None, list[Finding]]:
    """Check a task file.

    :param counter: of the model that is meant to be used; without one no prompt is measured
    :returns: the task, None where there are errors; what was found, in the file's order
    :raises SelfguideError: where the file cannot be read or is no YAML
    """
    task, places, problems = read_task(path)
    if task is None:
        return None, [Finding("error", p.line, p.column, p.field, p.message) for p in problems]
    findings = [
        Finding("warning", *places["settings", old], f"settings.{old}", f"is now called {new}")
        for old, new in RENAMED_SETTINGS.items()
        if ("settings", old) in places
    ]
    for level, field, message in _look(task, prompts or Prompts(), counter):
        line, column = _place(places, field)
        findings.append(Finding(level, line, column, field, message))
    findings.sort(key=lambda finding: (finding.line, finding.column))
    return (None if any(finding.level == "error" for finding in findings) else task), findings


def task_warnings(task: Task, prompts: Prompts) -> list[str]:
    """Return a line for each thing in a task that will work badly, as `check_file` finds them; for a run's beginning.

    Files of a user's own rows are left out: the run reads them itself, and says what is refused.
    """
    found = _look(task, prompts, None, own=False)
    return [f"{level}: {field or 'task'}: {message}" for level, field, message in found if level == "warning"]


def refuse_errors(task: Task, settings: Settings, prompts: Prompts) -> None:
    """Stop at the first thing in a task with which no run can come to anything, as `check_file` finds them.

    :param settings: in force; those that a database keeps may mend what the task file says
    :raises SelfguideError: naming the field
    """
    for level, field, message in _look(task.model_copy(update={"settings": settings}), prompts, None, own=False):
        if level == "error":
            raise SelfguideError(f"task {task.name}: {field or 'task'}: {message}")


def _place(places: Places, field: str) -> tuple[int, int]:
    parts = tuple(field.split(".")) if field else ()
    return next(places[parts[:n]] for n in range(len(parts), -1, -1) if parts[:n] in places)


_Found = tuple[Literal["error", "warning"], str, str]


def _look(task: Task, prompts: Prompts, counter: TokenCounter | None, *, own: bool = True) -> Iterator[_Found]:
    settings = task.rules.resolve(task.settings)
    yield from _examples(task)
    yield from _lengths(task, settings)
    yield from _labels(task)
    yield from _noise(task, settings)
    yield from _settings(task, settings)
    yield from _evaluation(task)
    if own:
        yield from _own_data(task)
    if counter is not None:
        yield from _prompts(task, settings, prompts, counter)


def _examples(task: Task) -> Iterator[_Found]:
    count = len(task.examples)
    if count < _WANTED_EXAMPLES:
        yield (
            "warning",
            "examples",
            f"only {count} example{'s' if count > 1 else ''}: the method was measured with about {_WANTED_EXAMPLES}; "
            "fewer make the data less varied",
        )
    first: dict[str, int] = {}
    for j, example in enumerate(task.examples):
        i = first.setdefault(fold(example.input), j)
        if i < j:
            yield "warning", f"examples.{j}.input", f"the same input as example {i}: it adds nothing"
        if task.output_schema is not None:
            for name, value in absent_values(task.output_schema, found_object(example.output) or {}, example.input):
                yield (
                    "warning",
                    f"examples.{j}.output.{name}",
                    f"verbatim, and {short(value, 40)!r} is not in the input",
                )
    if not task.rules.labelled and count > 1 and len({fold(example.output) for example in task.examples}) == 1:
        yield "warning", "examples", "all outputs are the same: the model will learn to answer only that"


def _lengths(task: Task, settings: Settings) -> Iterator[_Found]:
    columns: list[tuple[str, bool, Callable[[int], str]]] = [
        ("input", settings.input_length_filter, lambda i: task.examples[i].input),
        ("output", bool(settings.output_length_filter), lambda i: task.examples[i].output),
    ]
    for column, filtered, text in columns:
        if not filtered:
            continue
        lengths = [len(text(i)) for i in range(len(task.examples))]
        if settings.length_rule == "range":
            continue  # from under the shortest to over the longest: it drops no example
        mean, spread = fmean(lengths), pstdev(lengths)
        if spread == 0:
            slack = max(mean * settings.length_slack_share, settings.length_slack_min)
            low, high = max(0, mean - slack), mean + slack
            yield (
                "warning",
                "examples",
                f"all {column}s have {lengths[0]} characters: texts of {low:.0f} to {high:.0f} characters are kept, by "
                "the settings length_slack_share and length_slack_min",
            )
            continue
        reach = settings.length_deviations * spread
        if reach < 0.15 * mean:
            yield (
                "warning",
                "examples",
                f"the {column}s are almost equally long: only texts of {mean - reach:.0f} to {mean + reach:.0f} "
                "characters will be kept; vary the examples or set length_deviations higher",
            )
        for i, length in enumerate(lengths):
            if abs(length - mean) >= reach:
                yield (
                    "warning",
                    f"examples.{i}.{column}",
                    f"its own length filter would drop this text: {length} characters, kept are "
                    f"{mean - reach:.0f} to {mean + reach:.0f}",
                )


def _labels(task: Task) -> Iterator[_Found]:
    shown = {fold(example.output) for example in task.examples}
    instruction = fold(task.instruction)
    for i, label in enumerate(task.labels):
        if fold(label) in shown:
            continue
        named = fold(label) in instruction
        yield (
            "warning",
            f"labels.{i}",
            f"no example has the label {label!r}"
            + ("" if named else " and the instruction does not name it: the model cannot know that it exists"),
        )


def _noise(task: Task, settings: Settings) -> Iterator[_Found]:
    if not settings.noise_filter:
        return
    advice = "; take it off with a noise_terms list of your own"
    for term in effective_noise_terms(task):
        for i, label in enumerate(task.labels):
            if has_noise(label, term):
                yield "error", f"labels.{i}", f"the noise term {term!r} drops every answer with this label{advice}"
        for i, example in enumerate(task.examples):
            for column, text in (("input", example.input), ("output", example.output)):
                if has_noise(text, term) and not (column == "output" and task.rules.labelled):
                    yield (
                        "warning",
                        f"examples.{i}.{column}",
                        f"contains the noise term {term!r}: texts like this one will be dropped{advice}",
                    )


def _settings(task: Task, settings: Settings) -> Iterator[_Found]:
    given = task.settings.model_fields_set
    if not task.rules.labelled and settings.method == "score":
        yield "error", "settings.method", f"score needs labels, and the kind {task.kind} has none: take sample"
    if settings.direction == "output-first" and not task.rules.structured:
        yield "error", "settings.direction", f"output-first makes up objects first; a {task.kind} task has no schema"
    if settings.method == "asked" and settings.direction == "input-first":
        yield "error", "settings.method", "asked takes the object that an input was written from: set direction too"
    if settings.method == "sample" and settings.samples == 1 and settings.consistency_filter and "samples" in given:
        yield "warning", "settings.samples", "one sample always agrees with itself: the consistency filter does nothing"
    if settings.input_temperature == 0:
        yield "warning", "settings.input_temperature", "at 0 the same prompt gives the same input: expect duplicates"


def _evaluation(task: Task) -> Iterator[_Found]:
    if task.eval is None:
        return
    from selfguide_lite.task.eval_rows import eval_rows, unseen_labels, without_leaks

    try:
        rows = eval_rows(task)
    except SelfguideError as error:
        yield "error", "eval", str(error)
        return
    clean, leaks = without_leaks(rows, [example.input for example in task.examples])
    if not clean:
        yield "error", "eval", "all of its inputs are seed examples: nothing is left to evaluate"
    elif leaks:
        yield "warning", "eval", f"{len(leaks)} of its inputs are seed examples: they are left out of every score"
    if clean and (missing := unseen_labels(task, clean)):
        yield "warning", "eval", f"none of its rows has the answer {', '.join(missing)}: errors on it will not show"


def _own_data(task: Task) -> Iterator[_Found]:
    """Read the files of the user's own, and tell which of their rows would be refused."""
    from selfguide_lite.own_data import inputs_of, rows_of
    from selfguide_lite.store import OwnInput
    from selfguide_lite.tabular import read_table
    from selfguide_lite.task.eval_rows import eval_rows

    held: set[str] = set()
    if task.eval is not None:
        with suppress(SelfguideError):  # reported already
            held = {fold(row.input) for row in eval_rows(task)}
    for field, own in (("train", task.train), ("inputs", task.inputs)):
        if own is None:
            continue
        try:
            table = read_table(own.file)
            found: list[OwnInput] = (
                rows_of(table, task, own.input, own.output)
                if isinstance(own, OwnRows)
                else inputs_of(table, own.column)
            )
        except SelfguideError as error:
            yield "error", field, str(error)
            continue
        refused = [one.source for one in found if fold(one.text) in held]
        if refused:
            places = ", ".join(refused[:5]) + (", ..." if len(refused) > 5 else "")
            yield "warning", field, f"in the evaluation set, and left out here: {places}"


def _prompts(task: Task, settings: Settings, prompts: Prompts, counter: TokenCounter) -> Iterator[_Found]:
    try:
        check_room(counter, task, settings.output_max_tokens)
    except SelfguideError as error:
        yield "error", "schema", str(error).removeprefix(f"task {task.name}: ")
    longest = max((example.input for example in task.examples), key=len)
    answer = max(counter.count_tokens(example.output) for example in task.examples)
    tokens = counter.count_tokens(prompts.annotate(task, longest))
    room = f"the model's context of {counter.n_ctx}"
    if tokens + answer > counter.n_ctx:
        yield "error", "examples", f"a prompt of {tokens} tokens and an answer of {answer} do not fit {room}"
    elif tokens + answer > _NEAR_CONTEXT * counter.n_ctx:
        yield "warning", "examples", f"a prompt of {tokens} tokens leaves little of {room}; shorten the examples"
    if tokens + answer > settings.max_seq_length:
        yield (
            "warning",
            "examples",
            f"a training text of {tokens + answer} tokens is over the setting max_seq_length "
            f"({settings.max_seq_length})",
        )
    for column, most in (("input", settings.input_max_tokens), ("output", settings.output_max_tokens)):
        for i, example in enumerate(task.examples):
            count = counter.count_tokens(example.input if column == "input" else example.output)
            if count > most and not (column == "output" and task.rules.labelled):
                yield (
                    "warning",
                    f"examples.{i}.{column}",
                    f"its {count} tokens are over the setting {column}_max_tokens ({most}): texts like this one will "
                    f"be {'closed early' if column == 'output' and task.rules.structured else 'cut'}",
                )
    # The very prompt of a first round: no input made so far is shown.
    messages = PromptSampler(task, prompts, settings, 0, lambda _: 0, 0).prompt(0, 0, []).messages
    tokens = counter.count_tokens(messages)
    budget = prompt_budget(counter.n_ctx, settings)
    if tokens > budget:
        yield (
            "error",
            "instruction",
            f"asking for an input takes {tokens} tokens before any input made so far is shown, {tokens - budget} "
            f"over the budget of {budget} (setting prompt_budget, or the model's context)",
        )
