"""A stage's chat messages from a Jinja2 template that a user can edit.

A template marks each turn with `{% call user() %}...{% endcall %}` (or `system`, `assistant`), so that no text put into
it can start a turn of its own. Templates are rendered in Jinja2's sandbox, with undefined names refused.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message, Role
from selfguide_lite.core.resources import resource
from selfguide_lite.prompt_styles import ShownInput, input_style
from selfguide_lite.prompt_styles.answers import USUAL_TEMPLATE, answer_style, answer_template
from selfguide_lite.task import Example, Task

_ROLES: tuple[Role, ...] = ("system", "user", "assistant")


class PromptTemplate:
    """One template file.

    :param path: the `.j2` file
    :param source: its text, where that is known already: a run keeps it
    :raises SelfguideError: where the file cannot be read or is no valid template
    """

    def __init__(self, path: Path, source: str | None = None):
        self.path = path
        try:
            self.source = path.read_text(encoding="utf-8") if source is None else source
        except (OSError, UnicodeDecodeError) as error:
            raise SelfguideError(f"{path}: cannot read this prompt template: {error}") from error
        environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
        try:
            self._template = environment.from_string(self.source)
        except TemplateError as error:
            raise SelfguideError(f"{path}: line {getattr(error, 'lineno', '?')}: {error}") from error

    @cached_property
    def sha256(self) -> str:
        """Hash of the template's text, kept with every text it helped to make."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    def render(self, variables: Mapping[str, object]) -> tuple[Message, ...]:
        """Render to chat messages.

        :raises SelfguideError: where the template fails or gives no messages
        """
        messages: list[Message] = []

        def turn(role: Role) -> Callable[..., str]:
            def add(caller: Callable[[], str]) -> str:
                messages.append(Message(role, caller().strip()))
                return ""

            return add

        try:
            self._template.render(**variables, **{role: turn(role) for role in _ROLES})
        except TemplateError as error:
            raise SelfguideError(f"{self.path}: {error}") from error
        if not messages:
            raise SelfguideError(f"{self.path}: the template gives no message; mark turns with {{% call user() %}}")
        return tuple(messages)


class Prompts:
    """The templates of a run.

    :param folder: a user's own templates; those it lacks come from the ones shipped
    """

    def __init__(self, folder: Path | None = None):
        if folder is not None and not folder.is_dir():
            raise SelfguideError(f"{folder}: no such folder of prompt templates")
        self.folder = folder
        self._loaded: dict[str, PromptTemplate] = {}

    def template(self, name: str) -> PromptTemplate:
        """Return a template by its name: `annotate`, or that of a style, such as `input-chat-turns`.

        :param name: or the path of the file, where another package brings the style
        """
        if name not in self._loaded:
            shipped = Path(name) if Path(name).is_absolute() else None
            own = self.folder / f"{shipped.stem if shipped else name}.j2" if self.folder else None
            if own is not None and own.is_file():
                path = own
            else:
                path = shipped or resource(f"prompts/{name}.j2")
            self._loaded[name] = PromptTemplate(path)
        return self._loaded[name]

    def input_template(self, task: Task, style: str = "chat-turns") -> PromptTemplate:
        """Return the template that asks for inputs of a task in a style."""
        return self.template(input_style(style).template(task))

    def new_input(
        self,
        task: Task,
        seeds: Sequence[ShownInput],
        pool: Sequence[ShownInput],
        label: str | None,
        style: str = "chat-turns",
    ) -> tuple[Message, ...]:
        """Messages that ask for one new input.

        :param seeds: the seed inputs in the order in which they are to be shown
        :param pool: inputs made so far
        :param label: for classification, the label whose input is asked for
        :param style: name of the input style
        """
        variables = input_style(style).variables(task, tuple(seeds), tuple(pool), label)
        return self.input_template(task, style).render(variables)

    def new_object(self, task: Task, shown: Sequence[str]) -> tuple[Message, ...]:
        """Messages that ask for one new object of a task's schema.

        :param shown: objects as text, in the order in which they are to be shown
        """
        return self.template("object-chat-turns").render({"instruction": task.question, "shown": list(shown)})

    def answer_template(self, style: str = "few-shot") -> PromptTemplate:
        """Return the template that asks for answers in a style."""
        return self.template(answer_template(style))

    def answer(self, task: Task, text: str, style: str = "few-shot") -> tuple[Message, ...]:
        """Messages that ask for the answer to one input.

        :param style: name of the answer style, which says what examples are shown, and where
        """
        return self._asked(self.answer_template(style), task, text, answer_style(style).examples(task, text))

    def annotate(self, task: Task, text: str, examples: Sequence[Example] | None = None) -> tuple[Message, ...]:
        """Messages that ask for the answer to one input: what annotation, finetuning and evaluation share.

        :param examples: shown as chat turns; the task's own by default
        """
        shown = task.examples if examples is None else examples
        return self._asked(self.template(USUAL_TEMPLATE), task, text, shown)

    def _asked(
        self, template: PromptTemplate, task: Task, text: str, examples: Sequence[Example]
    ) -> tuple[Message, ...]:
        return template.render(
            {"instruction": task.question, "examples": list(examples), "input": text, "labels": list(task.labels)}
        )
