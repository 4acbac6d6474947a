"""What is to be reviewed, in which order, and what is done with a verdict. Knows nothing of pages and terminals."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from selfguide_lite.core.errors import SelfguideError, short
from selfguide_lite.fields import checked
from selfguide_lite.store import Store
from selfguide_lite.store.filters import add_noise_term
from selfguide_lite.store.reviews import (
    NO_FILTER,
    NewReview,
    Review,
    Reviewable,
    Verdict,
    add_review,
    review_count,
    review_of,
    reviewables,
    shares_of,
    undo_review,
)
from selfguide_lite.task import Task, fold, has_noise

ORDERS = ("doubt", "disagreement", "random", "dropped")
_KEPT_OF_SAMPLE = 0.75  # the rest of a sample are texts that filters dropped
LONGEST = 100_000  # characters


@dataclass(frozen=True, slots=True)
class Shown:
    """An input as a person sees it.

    :param shares: the model's answers with their shares
    :param review: a verdict that is in force; None where nobody has said anything
    """

    item: Reviewable
    shares: tuple[tuple[str, float], ...]
    review: Review | None


@dataclass(frozen=True, slots=True)
class Said:
    """A person's verdict as it comes in.

    :param seen: the verdict that was in force when the input was shown
    """

    input_id: int
    verdict: Verdict
    input: str | None = None
    answer: str | None = None
    queue: str = ""
    seen: int | None = None


@dataclass(frozen=True, slots=True)
class WouldDrop:
    """What a new noise term would drop beside what is dropped already.

    :param pairs: of these, pairs of the dataset
    :param examples: a few of the texts
    """

    texts: int
    pairs: int
    examples: tuple[str, ...]


class Session:
    """One sitting over a task's inputs, which are read once, at its beginning.

    :param reviewer: who reviews
    """

    def __init__(self, store: Store, task_id: int, reviewer: str):
        self.store, self.task_id, self.reviewer = store, task_id, reviewer
        self.task: Task = store.task(task_id)
        self._items = {item.id: item for item in reviewables(store, task_id)}
        self._labels = {fold(label): label for label in self.task.labels}

    def reasons(self) -> dict[str, int]:
        """Return why inputs were dropped, and how many for each reason."""
        return dict(Counter(item.reason for item in self._items.values() if item.reason is not None).most_common())

    def queue(self, order: str, reason: str | None = None, seed: int = 0, sample: int | None = None) -> list[int]:
        """Return the ids of what is to be reviewed, in an order.

        :param order: `doubt`: the least certain answers first; `disagreement`: answers unlike the label asked for;
            `random`; `dropped`: what a filter rejected
        :param reason: for `dropped`, of which filter; None: of any
        :param sample: only so many, for `random`: three quarters pairs, the others dropped by filters
        :raises SelfguideError: where there is no such order
        """
        items = list(self._items.values())
        if order == "doubt":
            sure = [
                (item.confidence, item.id) for item in items if item.confidence is not None and item.answer is not None
            ]
            found = [input_id for _, input_id in sorted(sure)]
        elif order == "disagreement":
            found = [item.id for item in items if item.asked and item.answer and item.asked != item.answer]
        elif order == "random":
            found = self._sample(items, random.Random(seed), sample)
        elif order == "dropped":
            found = [
                item.id
                for item in items
                if item.reason is not None and (item.reason == reason if reason else item.reason not in NO_FILTER)
            ]
        else:
            raise SelfguideError(f"{short(order)}: no such order; there are: {', '.join(ORDERS)}")
        return found[:sample] if sample is not None else found

    @staticmethod
    def _sample(items: Sequence[Reviewable], dice: random.Random, wanted: int | None) -> list[int]:
        kept = [item.id for item in items if item.reason is None]
        dropped = [item.id for item in items if item.reason is not None and item.reason not in NO_FILTER]
        if wanted is None:
            mixed = kept + dropped
            dice.shuffle(mixed)
            return mixed
        of_kept = min(len(kept), max(round(wanted * _KEPT_OF_SAMPLE), wanted - len(dropped)))
        chosen = dice.sample(kept, of_kept) + dice.sample(dropped, min(len(dropped), wanted - of_kept))
        dice.shuffle(chosen)
        return chosen

    def shown(self, input_id: int) -> Shown:
        """Return an input with its answers and what was said of it.

        :raises SelfguideError: where it is not among what is reviewed
        """
        if input_id not in self._items:
            raise SelfguideError(f"input {input_id}: not among what is to be reviewed")
        return Shown(self._items[input_id], tuple(shares_of(self.store, input_id)), review_of(self.store, input_id))

    def say(self, said: Said) -> int | None:
        """Write a verdict down and return its id; None where another one came since the input was shown.

        :raises SelfguideError: where an edited text is empty or an answer is not a label, or no object of the schema
        """
        item = self.shown(said.input_id).item
        text, answer = said.input, said.answer
        if text is not None and not (text := text.strip()):
            raise SelfguideError("the edited input is empty")
        if answer is not None and not (answer := answer.strip()):
            raise SelfguideError("the edited answer is empty")
        if max(len(text or ""), len(answer or "")) > LONGEST:
            raise SelfguideError(f"longer than {LONGEST:,} characters")
        if answer is not None and self._labels:
            if fold(answer) not in self._labels:
                raise SelfguideError(f"{short(answer)!r} is not one of the labels: {', '.join(self.task.labels)}")
            answer = self._labels[fold(answer)]
        if answer is not None and self.task.answer_schema is not None:
            try:
                answer = checked(self.task.answer_schema, answer)
            except ValueError as error:
                raise SelfguideError(f"the answer: {error}") from error
        if said.verdict == "edit":
            answer = answer or item.answer
            if answer is None:
                raise SelfguideError("give the answer too: the model has none for this input")
        new = NewReview(
            said.input_id,
            said.verdict,
            text if said.verdict == "edit" and text != item.text else None,
            answer if said.verdict == "edit" else item.answer if said.verdict == "accept" else None,
            self.reviewer,
            said.queue,
            item.reason,
            item.answer,
        )
        if new.verdict == "edit" and new.input is None and new.answer == item.answer:
            new = replace(new, verdict="accept")
        return add_review(self.store, self.task_id, new, said.seen)

    def undo(self, review_id: int) -> bool:
        """Take a verdict back; False where that was done already."""
        return undo_review(self.store, self.task_id, review_id, self.reviewer)

    def done(self) -> int:
        """Return on how many inputs somebody's verdict is in force."""
        return review_count(self.store, self.task_id)

    def would_drop(self, term: str) -> WouldDrop:
        """Return what a noise term would drop, without adding it."""
        if not term.strip():
            raise SelfguideError("the term is empty; every text contains it")
        hit = [
            item
            for item in self._items.values()
            if item.reason in (None, *NO_FILTER) and (has_noise(item.text, term) or has_noise(item.answer or "", term))
        ]
        return WouldDrop(len(hit), sum(item.reason is None for item in hit), tuple(item.text for item in hit[:5]))

    def add_noise(self, term: str) -> None:
        """Reject texts that contain a term from now on."""
        add_noise_term(self.store, self.task_id, term)
