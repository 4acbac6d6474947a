"""An evaluation of objects, field by field: how many of each field's values are found, and what goes wrong most."""

from collections.abc import Sequence
from dataclasses import dataclass

from selfguide_lite.evaluate.evaluation import Evaluation
from selfguide_lite.fields import FieldCount, values_of
from selfguide_lite.fields.scoring import best_counts
from selfguide_lite.fields.values import fitting_values, found_object, value_text
from selfguide_lite.task import Task

_SHOWN = 3  # wrong answers of a field


@dataclass(frozen=True, slots=True)
class Miss:
    """A value that is not the right one, as JSON.

    :param given: empty where there is none that fits the field
    """

    input: str
    given: str
    wanted: str


@dataclass(frozen=True, slots=True)
class FieldScore:
    """One field over all rows.

    :param misses: the first wrong values
    """

    name: str
    count: FieldCount
    misses: tuple[Miss, ...]


@dataclass(frozen=True, slots=True)
class FieldScores:
    """All fields of an evaluation.

    :param valid: share of answers that are an object of the schema
    :param exact: share of answers in which every value is right
    :param micro: F1 over all values of all rows
    :param fields: in the schema's order
    """

    valid: float
    exact: float
    micro: float
    fields: tuple[FieldScore, ...]

    @property
    def worst(self) -> list[FieldScore]:
        """The fields with wrong values, the lowest F1 first."""
        return sorted((one for one in self.fields if one.misses), key=lambda one: one.count.f1)


def field_scores(task: Task, evaluation: Evaluation) -> FieldScores | None:
    """Return an evaluation's scores by field; None where the task's answers are no objects."""
    schema = task.answer_schema
    if schema is None:
        return None
    counts = {one.name: FieldCount() for one in schema.fields}
    misses: dict[str, list[Miss]] = {one.name: [] for one in schema.fields}
    exact = valid = 0
    for given in evaluation.predictions:
        found = best_counts(schema, given.text, given.references)
        reference = max(given.references, key=lambda text: task.rules.score(given.text, [text], ()))
        fits = task.rules.parse(given.text, ()) is not None
        valid += fits
        exact += fits and not any(count.wrong for count in found.values())
        answer, right = fitting_values(schema, given.text), values_of(schema, found_object(reference) or {})
        for name, count in found.items():
            counts[name] += count
            if count.wrong and len(misses[name]) < _SHOWN:
                said = value_text(answer[name]) if name in answer else ""
                misses[name].append(Miss(given.input, said, value_text(right[name])))
    n = max(1, len(evaluation.predictions))
    fields = tuple(FieldScore(name, count, tuple(misses[name])) for name, count in counts.items())
    return FieldScores(valid / n, exact / n, sum(counts.values(), FieldCount()).f1, fields)


def scores_by_method(task: Task, evaluations: Sequence[Evaluation]) -> dict[str, FieldScores]:
    """Return the scores by field of several methods; nothing where answers are no objects."""
    found = {one.method: field_scores(task, one) for one in evaluations}
    return {name: scores for name, scores in found.items() if scores is not None}
