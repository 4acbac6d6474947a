"""Reads and writes what people said of texts: the table `review`. Rows are only added; the newest verdict counts."""

from dataclasses import dataclass
from typing import Literal

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.store.store import Store
from selfguide_lite.store.stored_values import clean

NO_FILTER = ("unanswered", "balance")  # reasons to be no pair for which no filter is to blame
Verdict = Literal["accept", "reject", "edit", "skip"]


@dataclass(frozen=True, slots=True)
class Reviewable:
    """An input as the filters and the model left it, without what a person said of it.

    :param asked: the label that it was asked for
    :param reason: of the first filter that rejects it or its answer, `unanswered` where it has no answer, `balance`
        where it is no pair for want of room; None for a pair
    :param answer: None where there is none
    :param confidence: of the answer
    """

    id: int
    text: str
    asked: str | None
    reason: str | None
    detail: str | None
    answer: str | None
    confidence: float | None


@dataclass(frozen=True, slots=True)
class NewReview:
    """What a person says of an input.

    :param input: the text that takes the place of the input's
    :param answer: the right answer
    :param queue: why it was shown, such as `random`
    :param reason: why it was dropped when it was judged; None for a pair
    :param machine_answer: the model's answer then
    """

    input_id: int
    verdict: Verdict
    input: str | None = None
    answer: str | None = None
    reviewer: str = ""
    queue: str = ""
    reason: str | None = None
    machine_answer: str | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """A person's verdict that is in force.

    :param id: of its row
    """

    id: int
    verdict: str
    input: str | None
    answer: str | None
    reviewer: str


@dataclass(frozen=True, slots=True)
class Judged:
    """How many inputs of one fate people judged, and how many they found right as they were.

    :param reason: why they were dropped; None for pairs
    """

    reason: str | None
    n: int
    right: int


def reviewables(store: Store, task_id: int) -> list[Reviewable]:
    """Return every input of a task that no person has said anything of, in the order of round and prompt.

    Given rows are a person's own and are not among them.
    """
    rows = store._rows(
        "SELECT i.id, i.text, i.label, CASE WHEN v.reason IS NOT NULL THEN v.reason WHEN w.id IS NULL THEN 'unanswered'"
        " WHEN w.reason IS NOT NULL THEN w.reason WHEN d.input_id IS NULL THEN 'balance' END,"
        " ifnull(v.detail, w.detail), w.answer, w.confidence"
        " FROM input_verdict AS v JOIN input AS i ON i.id = v.id LEFT JOIN answer_verdict AS w ON w.id = i.id"
        " LEFT JOIN dataset AS d ON d.input_id = i.id WHERE v.task_id = ? AND i.origin <> 'given'"
        " AND i.id NOT IN (SELECT input_id FROM review_in_force) ORDER BY i.round, i.prompt, i.id",
        task_id,
    )
    return [Reviewable(*row) for row in rows]


def shares_of(store: Store, input_id: int) -> list[tuple[str, float]]:
    """Return the answers that a model gave to an input, each with its share of the votes, the largest first."""
    rows = store._rows(
        "SELECT ifnull(label, text), sum(weight) FROM output WHERE input_id = ? GROUP BY 1 ORDER BY 2 DESC, min(id)",
        input_id,
    )
    total = sum(weight for _, weight in rows) or 1.0
    return [(answer, weight / total) for answer, weight in rows]


def add_review(store: Store, task_id: int, new: NewReview, seen: int | None = None) -> int | None:
    """Commit a verdict and return its id; None where another one came meanwhile.

    :param seen: the id of the verdict that was in force when the input was shown; None: there was none
    :raises SelfguideError: where the input is not the task's
    """
    with store._writing() as connection:
        if not connection.execute(
            "SELECT 1 FROM input WHERE id = ? AND task_id = ?", (new.input_id, task_id)
        ).fetchone():
            raise SelfguideError(f"{store.path}: the task has no input {new.input_id}")
        now = connection.execute("SELECT review_id FROM review_in_force WHERE input_id = ?", (new.input_id,)).fetchone()
        if (now[0] if now else None) != seen:
            return None
        cursor = connection.execute(
            "INSERT INTO review(task_id, input_id, verdict, input, answer, reviewer, queue, reason, machine_answer)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                task_id,
                new.input_id,
                new.verdict,
                None if new.input is None else clean(new.input),
                None if new.answer is None else clean(new.answer),
                clean(new.reviewer),
                new.queue,
                new.reason,
                new.machine_answer,
            ),
        )
        return int(cursor.lastrowid or 0)


def undo_review(store: Store, task_id: int, review_id: int, reviewer: str) -> bool:
    """Take a verdict back, so that the one before is in force again; False where it was taken back already."""
    with store._writing() as connection:
        row = connection.execute(
            "SELECT input_id FROM review WHERE id = ? AND task_id = ? AND verdict <> 'undo'"
            " AND id NOT IN (SELECT undoes FROM review WHERE undoes IS NOT NULL)",
            (review_id, task_id),
        ).fetchone()
        if row is None:
            return False
        connection.execute(
            "INSERT INTO review(task_id, input_id, verdict, undoes, reviewer) VALUES (?, ?, 'undo', ?, ?)",
            (task_id, row[0], review_id, clean(reviewer)),
        )
    return True


def review_of(store: Store, input_id: int) -> Review | None:
    """Return the verdict in force on an input, or None."""
    rows = store._rows(
        "SELECT review_id, verdict, input, answer, reviewer FROM review_in_force WHERE input_id = ?", input_id
    )
    return Review(*rows[0]) if rows else None


def review_count(store: Store, task_id: int) -> int:
    """Return on how many inputs a verdict is in force."""
    return int(store._value("SELECT count(*) FROM review_in_force WHERE task_id = ?", task_id))


def judged(store: Store, task_id: int) -> list[Judged]:
    """Return what people found of inputs that were drawn at random: by fate, how many were right as they were."""
    rows = store._rows(
        "SELECT r.reason, count(*), sum(r.verdict = 'accept') FROM review_in_force AS f"
        " JOIN review AS r ON r.id = f.review_id WHERE r.task_id = ? AND r.queue = 'random'"
        " GROUP BY r.reason ORDER BY r.reason IS NOT NULL, count(*) DESC, r.reason",
        task_id,
    )
    return [Judged(*row) for row in rows]
