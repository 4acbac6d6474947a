"""A run's model, loaded and ready to answer: what `predict`, `serve`, `chat` and Python share."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.methods.asking import answer_prompt, prepare
from selfguide_lite.methods.names import FEW_SHOT, named, parts, usual_form
from selfguide_lite.prediction.answers import Answer, Way, answer_all, choose_way
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_files import adapter_file, base_file
from selfguide_lite.store import Store
from selfguide_lite.task import Task


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """How inputs are answered; everything has a default.

    :param task: name of the task, where the database holds several
    :param model: GGUF file; None: the one that the adapter was trained for
    :param adapter: a GGUF adapter's number in the database, or its file; None: the run's newest
    :param method: a method's name, such as ``few-shot calibrated``; None: the one that won
    :param prompts: the templates
    :param plain: ask the model as it was before the finetune, few-shot
    """

    task: str | None = None
    model: Path | str | None = None
    adapter: Path | str | int | None = None
    method: str | None = None
    prompts: Prompts = field(default_factory=Prompts)
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """What answers, and how.

    :param base: the model's file
    :param adapter: None: the model as it is
    """

    task: Task
    way: Way
    base: Path
    adapter: Path | None

    @classmethod
    def of(cls, store: Store, options: PredictOptions) -> Self:
        """Choose the method by what a database says of them.

        :raises SelfguideError: where there is no such task, method, model or adapter
        """
        model, given = None if options.model is None else Path(options.model), options.adapter
        task_id = store.only_task_id(options.task)
        task = store.task(task_id)
        method = named(FEW_SHOT, usual_form(task.kind)) if options.plain else options.method
        way = choose_way(store, task_id, options.prompts, method, given, model)
        adapter = adapter_file(store, task_id, given) if way.finetuned else None
        return cls(task, way, base_file(store, task_id, model, given if given is not None else adapter), adapter)

    @property
    def max_tokens(self) -> int:
        """Tokens of an answer in free text at most."""
        return self.task.rules.resolve(self.task.settings).output_max_tokens

    def load(self, prompts: Prompts) -> "Predictor":
        """Load the model, with what all its prompts begin with at hand."""
        engine = open_engine(self.base, EngineOptions(tune=False), adapter=self.adapter)
        try:
            prepare(engine, self.task, answer_prompt(prompts, self.way.style))
        except BaseException:
            engine.close()
            raise
        return Predictor(self, engine, prompts)


class Predictor:
    """A run's model, loaded to answer inputs. Use `Predictor.open`, as a context manager. One call at a time.

    :ivar task: what the inputs are of
    :ivar way: the method, and why it is this one
    """

    def __init__(self, choice: Choice, engine: Any, prompts: Prompts):
        self.choice, self.engine, self.prompts = choice, engine, prompts
        self.task, self.way = choice.task, choice.way

    @classmethod
    def open(cls, db: Path | str, options: PredictOptions | None = None) -> "Predictor":
        """Choose the method by what the database says of them, and load the model, with the adapter if it won.

        :param db: the run's database, which is only read
        :raises SelfguideError: where there is no such database, task, method, model or adapter
        """
        options = options or PredictOptions()
        with Store.open(db, read_only=True, create=False) as store:
            choice = Choice.of(store, options)
        return choice.load(options.prompts)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in their order; empty for a kind of task without any."""
        return self.task.labels

    def answer(self, inputs: Iterable[str]) -> Iterator[Answer]:
        """Yield the answer to each input, in their order.

        :param inputs: read lazily, a few hundred ahead
        """
        return answer_all(self.engine, self.task, self.prompts, inputs, self.choice.max_tokens, self.way)

    def predict(self, inputs: Sequence[str]) -> list[str]:
        """Return the label or text for each input.

        :raises SelfguideError: where one cannot be answered, such as an input longer than the model's context
        """
        return [_checked(number, answer).output for number, answer in enumerate(self.answer(inputs), 1)]

    def probabilities(self, inputs: Sequence[str]) -> list[dict[str, float]]:
        """Return the probability of every label for each input.

        Where free text won, the same prompt's scores are given, which are not calibrated.

        :raises SelfguideError: for a task without labels, or where an input cannot be answered
        """
        if not self.labels:
            raise SelfguideError(f"task {self.task.name}: only the labels of a classification task have probabilities")
        way = self.way
        if way.how == "free":
            way = replace(way, method=named(parts(way.method)[0], "scored"), prior=None)
        found = answer_all(self.engine, self.task, self.prompts, inputs, self.choice.max_tokens, way)
        return [dict(_checked(number, answer).shares or {}) for number, answer in enumerate(found, 1)]

    def close(self) -> None:
        """Free the model and its memory."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _checked(number: int, answer: Answer) -> Answer:
    if answer.error is not None:
        raise SelfguideError(f"input {number}: {answer.error}")
    return answer


def load(db: Path | str, options: PredictOptions | None = None) -> Predictor:
    """Load what a run made, ready to answer: `Predictor.open` by a shorter name. Use it as a context manager.

    :param db: the run's database
    :param options: None: the method that won, with the model and adapter that the database names
    :raises SelfguideError: where something of it is missing
    """
    return Predictor.open(db, options)


def predict(db: Path | str, inputs: Iterable[str], options: PredictOptions | None = None) -> list[Answer]:
    """Answer inputs by the method that was found to be the best, many at once.

    `Predictor` does the same for a stream, or for inputs that come one by one.

    :param db: the database of a run
    :param options: None: the method that won, with the model and adapter that the database names
    :return: the answers in the order of the inputs
    :raises SelfguideError: where there is no such database, task, method, model or adapter
    """
    with Predictor.open(db, options) as predictor:
        return list(predictor.answer(inputs))
