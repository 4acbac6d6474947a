"""Generation: an answer is free text, scored by how much of it is in a right answer."""

from collections.abc import Sequence

from selfguide_lite.kinds.base import TaskKind
from selfguide_lite.metrics import rouge_l


class Kind(TaskKind):
    """Free text."""

    summary = "free text"
    metric = "ROUGE-L"
    starter = """\
instruction: >-
  Turn the note into one polite sentence to a colleague.

# About three, as different from one another as the inputs you expect: their lengths set what is kept.
examples:
  - input: report late - need it monday
    output: The report is late, so could you please send it to me by Monday?
  - input: printer 2nd floor broken again, tell IT
    output: The printer on the second floor is broken again, so could you please tell IT?
  - input: thx for slides, meeting moved to 3 pm, bring numbers for may
    output: Thank you for the slides; the meeting has moved to 3 pm, so please bring the numbers for May.
"""

    def check(self, labels: Sequence[str], answers: Sequence[str]) -> None:
        """Refuse labels."""
        if labels:
            raise ValueError("labels: a generation task has none; remove them or set kind: classification")

    def parse(self, text: str, labels: Sequence[str]) -> str | None:
        """Return None: the whole text is the answer."""
        return None

    def score(self, text: str, references: Sequence[str], labels: Sequence[str]) -> float:
        """Return the ROUGE-L F1 with stemming."""
        return rouge_l(text, references)
