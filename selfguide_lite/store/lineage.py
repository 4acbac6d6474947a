"""The life of one input: what asked for it, what came, what the filters said, what the samples voted, where it went."""

import json
from dataclasses import dataclass

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.store.connection import clear_errors
from selfguide_lite.store.store import Store


@dataclass(frozen=True, slots=True)
class Origin:
    """The run that made a text: enough to make it again."""

    run_id: int
    stage: str
    model: str | None
    model_sha256: str | None
    seed: int | None
    settings: str
    template: str | None
    template_sha256: str | None
    program_version: str | None
    started_at: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer with its verdict; `reason` is None where it counts as a vote."""

    id: int
    method: str
    sample: int
    text: str
    label: str | None
    weight: float
    reason: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Vote:
    """A distinct answer with its votes and its share of them."""

    answer: str
    n: int
    weight: float
    share: float


@dataclass(frozen=True, slots=True)
class Life:
    """Everything about one input.

    :param label: the label that was asked for
    :param seed_inputs: the order in which the seed examples were shown
    :param pool_inputs: the pool inputs that were shown, with their ids
    :param pool_labels: for classification, the labels that these were asked for
    :param source: the place of an input of a person's own; None for one that a model wrote
    :param reason: of the first filter that rejects it, None where it is in the pool
    :param output: the pair's output, None where it is not in the dataset
    :param why_not: why it is not in the dataset, None where it is
    """

    id: int
    task_id: int
    round: int | None
    prompt: int | None
    label: str | None
    text: str
    finish_reason: str | None
    created_at: str
    source: str | None
    seed_inputs: tuple[int, ...]
    pool_inputs: tuple[tuple[int, str], ...]
    pool_labels: tuple[str | None, ...]
    reason: str | None
    detail: str | None
    samples: tuple[Sample, ...]
    votes: tuple[Vote, ...]
    output: str | None
    why_not: str | None
    origin: Origin | None
    answer_origin: Origin | None


def life(store: Store, input_id: int) -> Life:
    """Return the life of one input.

    :raises SelfguideError: where no input has that id
    """
    with clear_errors(store.path, "read"):
        connection = store.connection
        row = connection.execute(
            "SELECT i.task_id, i.round, i.prompt, i.label, i.text, i.finish_reason, i.created_at, i.seed_inputs,"
            " i.pool_inputs, i.run_id, i.source, v.reason, v.detail FROM input AS i JOIN input_verdict AS v"
            " ON v.id = i.id"
            " WHERE i.id = ?",
            (input_id,),
        ).fetchone()
        if row is None:
            last = connection.execute("SELECT max(id) FROM input").fetchone()[0]
            there = f"the ids go from 1 to {last}" if last else "there is none yet"
            raise SelfguideError(f"{store.path}: has no input {input_id}; {there}")
        task_id, round_, prompt, label, text, finish_reason, created_at, *others = row
        seed_inputs, pool_inputs, run_id, source, reason, detail = others
        of_input = "SELECT text, label FROM input WHERE id = ?"
        shown = [
            (shown_id, *(connection.execute(of_input, (shown_id,)).fetchone() or ("", None)))
            for shown_id in json.loads(pool_inputs or "[]")
        ]
        samples = [
            Sample(*sample)
            for sample in connection.execute(
                "SELECT o.id, o.method, o.sample, o.text, o.label, o.weight, r.reason, r.detail FROM output AS o"
                " LEFT JOIN output_rejected AS r ON r.id = o.id WHERE o.input_id = ? ORDER BY o.method, o.sample",
                (input_id,),
            )
        ]
        votes = [
            Vote(*vote)
            for vote in connection.execute(
                "SELECT answer, n, weight, share FROM vote WHERE input_id = ? ORDER BY place", (input_id,)
            )
        ]
        pair = connection.execute("SELECT output FROM dataset WHERE input_id = ?", (input_id,)).fetchone()
        answered = connection.execute(
            "SELECT output_id, reason, detail FROM answer_verdict WHERE id = ?", (input_id,)
        ).fetchone()
        answer_run = connection.execute(
            "SELECT run_id FROM output WHERE input_id = ? ORDER BY id = ? DESC, id LIMIT 1",
            (input_id, answered[0] if answered else 0),
        ).fetchone()
    why_not = None
    if pair is None:
        if reason is not None:
            why_not = f"the input was rejected: {reason}"
        elif not samples:
            why_not = "it has no answers yet"
        elif not votes:
            why_not = "every answer was rejected"
        elif answered is not None and answered[1] is not None:
            why_not = f"its answer was rejected: {answered[1]} ({answered[2]})"
        else:
            why_not = "its label has more pairs than the rarest one, and balancing did not draw it"
    return Life(
        id=input_id,
        task_id=task_id,
        round=round_,
        prompt=prompt,
        label=label,
        text=text,
        finish_reason=finish_reason,
        created_at=created_at,
        source=source,
        seed_inputs=tuple(json.loads(seed_inputs or "[]")),
        pool_inputs=tuple((shown_id, shown_text) for shown_id, shown_text, _ in shown),
        pool_labels=tuple(shown_label for _, _, shown_label in shown),
        reason=reason,
        detail=detail,
        samples=tuple(samples),
        votes=tuple(votes),
        output=pair[0] if pair else None,
        why_not=why_not,
        origin=_origin(store, run_id),
        answer_origin=_origin(store, answer_run[0] if answer_run else None),
    )


def _origin(store: Store, run_id: int | None) -> Origin | None:
    row = store.connection.execute(
        "SELECT r.id, r.stage, m.name, m.sha256, r.seed, r.settings, r.template, r.template_sha256, r.program_version,"
        " r.started_at FROM run AS r LEFT JOIN model AS m ON m.id = r.model_id WHERE r.id = ?",
        (run_id,),
    ).fetchone()
    return Origin(*row) if row else None
