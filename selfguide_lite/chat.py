"""A conversation with a run's model in the terminal: each line is an input; before and after stand side by side."""

from dataclasses import replace

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.lock import exclusive
from selfguide_lite.core.plain_json import plain_json
from selfguide_lite.core.text import neutral
from selfguide_lite.fields import checked
from selfguide_lite.methods.names import FEW_SHOT, named, usual_form
from selfguide_lite.own_data import is_held_out, take_in
from selfguide_lite.prediction import Answer, Predictor, Way, answer_all
from selfguide_lite.store import OwnInput, Store
from selfguide_lite.task import Example, fold
from selfguide_lite.task_change import bring_in

_EXAMPLE = "--example"
_HELP = (
    "Type an input. :keep makes the last one a row with its answer, :keep ANSWER with another one; "
    f":keep {_EXAMPLE} and :keep {_EXAMPLE} ANSWER make it an example of the task. :quit ends."
)
_WIDEST = 40


class Chat:
    """What was said so far.

    :param store: where rows that are kept go
    :param model: that answers
    """

    def __init__(self, store: Store, task_id: int, model: Predictor):
        self._store, self._task_id, self._model = store, task_id, model
        self._last: Answer | None = None

    def say(self, line: str) -> str | None:
        """Return what to show for a line that was typed; None at the end of the conversation."""
        text = line.strip()
        if text in (":quit", ":q"):
            return None
        if not text or text == ":help":
            return _HELP
        if text == ":keep" or text.startswith(":keep "):
            return self._keep(text.removeprefix(":keep").strip())
        if text.startswith(":"):
            return f"{neutral(text.split()[0])}: no such command. {_HELP}"
        (after,) = self._model.answer([text])
        self._last = after
        if not self._model.way.finetuned:
            return self._column(self._model.way.method, after)
        before = self._before(text)
        if not self._model.labels or before.shares is None or after.shares is None:
            return f"before: {self._shown(before)}\nafter:  {self._shown(after)}"
        width = min(_WIDEST, max(len(neutral(label)) for label in self._model.labels))
        lines = [f"{'':{width}}  before   after"]
        for label in self._model.labels:
            mark = " *" if label == after.label else ""
            lines.append(
                f"{neutral(label)[:width]:{width}}  {before.shares[label]:6.1%}  {after.shares[label]:6.1%}{mark}"
            )
        return "\n".join(lines)

    def _before(self, text: str) -> Answer:
        """Answer by the same model without its adapter, few-shot, and put the adapter back."""
        model = self._model
        way = Way(named(FEW_SHOT, usual_form(model.task.kind)))
        model.engine.set_adapter(None)
        try:
            (answer,) = answer_all(model.engine, model.task, model.prompts, [text], model.choice.max_tokens, way)
        finally:
            model.engine.set_adapter(model.choice.adapter)
        return replace(answer, input=text)

    def _column(self, method: str, answer: Answer) -> str:
        if answer.shares is None:
            return f"{method}: {self._shown(answer)}"
        return "\n".join(f"{neutral(label)[:_WIDEST]}  {share:6.1%}" for label, share in answer.shares.items())

    def _shown(self, answer: Answer) -> str:
        return f"({answer.error})" if answer.error is not None else neutral(answer.output, keep_lines=True)

    def _keep(self, typed: str) -> str:
        """Put the last input into the store with an answer: as a row, or as an example of the task."""
        if self._last is None:
            return "There is no input to keep yet."
        as_example = typed == _EXAMPLE or typed.startswith(f"{_EXAMPLE} ")
        output = (typed.removeprefix(_EXAMPLE).strip() if as_example else typed) or self._last.output
        labels = {fold(label): label for label in self._model.labels}
        if labels:
            if fold(output) not in labels:
                return f"{neutral(output)!r} is not one of the labels: {', '.join(map(neutral, self._model.labels))}"
            output = labels[fold(output)]
        schema = self._model.task.answer_schema
        if schema is not None:
            try:
                output = checked(schema, output)
            except ValueError as error:
                return f"not kept: {neutral(str(error))}"
        try:
            with exclusive(self._store.path):
                keep = self._keep_example if as_example else self._keep_row
                return keep(self._last.input, output)
        except SelfguideError as error:
            return str(error)

    def _keep_row(self, text: str, output: str) -> str:
        taken = take_in(self._store, self._task_id, [OwnInput(text, "chat", output)], "chat")
        told = taken.notes or (["kept"] if taken.new else ["it was there already"])
        return f"{'; '.join(told)}: {neutral(output)}"

    def _keep_example(self, text: str, output: str) -> str:
        """Make the task's next version: with one more example."""
        if is_held_out(self._store, self._task_id, text):
            return "not kept, since it is in the evaluation set"
        task = self._store.task(self._task_id)
        if any(fold(one.input) == fold(text) for one in task.examples):
            return "the task has an example with this input already"
        examples = (*task.examples, Example(input=text, output=output))
        bring_in(self._store, task.model_copy(update={"examples": examples}), lambda _: True)
        return (
            f"kept as example {len(examples)}: {neutral(output)}. The inputs are answered again with it by the next "
            "`selfguide annotate` or `run`. Add it to the examples in the task file, or `run` takes it out again:\n"
            f"- input: {plain_json(text)}\n  output: {plain_json(output)}"
        )
