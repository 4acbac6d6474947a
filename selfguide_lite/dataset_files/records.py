"""From the pairs of a task to records of a form."""

from collections.abc import Iterable, Iterator
from typing import Any

from selfguide_lite.dataset_files.forms import Exchange, Form
from selfguide_lite.prompts import Prompts
from selfguide_lite.store.rows import Pair
from selfguide_lite.task import Task


def records(task: Task, pairs: Iterable[Pair], form: Form, prompts: Prompts | None = None) -> Iterator[dict[str, Any]]:
    """Yield each pair as a record.

    :param task: its setting `answer_style` says which examples a prompt shows
    :param prompts: the templates; None: those shipped
    """
    templates = Prompts() if prompts is None else prompts
    style = task.settings.answer_style
    for pair in pairs:
        yield form.record(
            Exchange(task.question, pair.input, pair.output, lambda text: templates.answer(task, text, style))
        )
