"""A task: what the user wants, in one instruction and a few examples.

Read from YAML; knows nothing of models, prompts or stores.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from selfguide_lite.core.registry import KINDS
from selfguide_lite.core.settings import Settings
from selfguide_lite.fields import Schema, checked, found_object, read_schema, sized
from selfguide_lite.kinds import TaskKind, kind_named


def _without_nul(value: Any) -> Any:
    if "\0" in str(value):
        raise ValueError("holds a NUL character, which no file name and no database can hold; remove it")
    return value


def _short_enough(path: Path) -> Path:
    if len(str(path)) > _LONGEST_PATH:
        raise ValueError(f"longer than {_LONGEST_PATH:,} characters")
    return path


_LONGEST_PATH = 1000
_MOST = 1000  # examples, labels, noise terms: what looks at them all takes time for each
_NoNul = AfterValidator(_without_nul)
KindName = Annotated[str, AfterValidator(KINDS.checked)]
Text = Annotated[str, Field(min_length=1, max_length=100_000), _NoNul]
# White space counts in a noise term: a blank line is one.
NoiseTerm = Annotated[str, StringConstraints(min_length=1, max_length=1000, strip_whitespace=False), _NoNul]

_SHARES_OFF = 0.01  # shares are typed by hand: 0.33 three times is 1
_SHOWN = 80  # characters of a text in a message


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Example(_Model):
    """One input with its right output."""

    input: Text
    output: Text


FilePath = Annotated[Path, _NoNul, AfterValidator(_short_enough)]
_Column = Annotated[str, StringConstraints(min_length=1, max_length=200), _NoNul] | None


class _OwnFile(_Model):
    """A file of the user's, given as its path alone or with the names of its columns."""

    file: FilePath

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, data: Any) -> Any:
        return {"file": data} if isinstance(data, str | Path) else data


class OwnInputs(_OwnFile):
    """Inputs of the user's, without answers.

    :param column: where they stand; None: `input`, else `text`, else the only column
    """

    column: _Column = None


class OwnRows(_OwnFile):
    """Rows of the user's: inputs with their right answers.

    :param input: the column of the inputs; None: `input`, else `text`
    :param output: the column of the answers; None: `output`, else `label`
    """

    input: _Column = None
    output: _Column = None


class Task(_Model):
    """One task as its file gives it.

    :param kind: name of its kind, such as `classification`
    :param labels: where its kind has them, every label that an answer may be; a mapping gives each its meaning
    :param output_schema: `schema` in the file: where its kind has objects for answers, their fields
    :param label_meanings: what a label means, in a few words, for labels that do not say it themselves
    :param label_shares: how often each label occurs in practice; left out, all are equally frequent
    :param noise_terms: texts that drop a generated text which contains one (case is ignored; one that begins with ^
        counts at a line's start alone); None: the list that the setting noise_list names, see `effective_noise_terms`
    :param settings: what differs from the defaults of the task's kind
    :param eval: JSONL file with `input` and `output` (a text, or a list of references), beside the task file
    :param inputs: inputs of the user's, which the model answers beside those that it writes
    :param train: rows of the user's, which go into the dataset as they are
    """

    name: Annotated[str, Field(min_length=1, max_length=200), _NoNul]
    kind: KindName
    instruction: Text
    labels: Annotated[tuple[Text, ...], Field(max_length=_MOST)] = ()
    output_schema: Annotated[Schema | None, Field(alias="schema")] = None
    label_meanings: dict[str, Text] = Field(default_factory=dict)
    label_shares: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(default_factory=dict)
    examples: Annotated[tuple[Example, ...], Field(min_length=1, max_length=_MOST)]
    noise_terms: Annotated[tuple[NoiseTerm, ...], Field(max_length=_MOST)] | None = None
    settings: Settings = Settings()
    eval: FilePath | None = None
    inputs: OwnInputs | None = None
    train: OwnRows | None = None

    model_config = ConfigDict(populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _objects_as_text(cls, data: Any) -> Any:
        """Read the schema, and write the examples' objects in the one form in which answers are compared."""
        given = data.get("schema", data.get("output_schema")) if isinstance(data, Mapping) else None
        if given is None:
            if isinstance(data, Mapping) and data.get("kind") in KINDS.names() and kind_named(data["kind"]).structured:
                _schema_for_objects(data)
            return data
        try:
            schema = given if isinstance(given, Schema) else read_schema(given)
        except ValueError as error:
            raise ValueError(_at("schema", str(error))) from None
        rest = {key: value for key, value in data.items() if key not in ("schema", "output_schema")}
        return {**rest, "schema": schema, "examples": _with_texts(schema, data.get("examples"))}

    @model_validator(mode="before")
    @classmethod
    def _labels_with_meanings(cls, data: Any) -> Any:
        """Take `labels` as a mapping of label to meaning too; an empty meaning is none."""
        if not isinstance(data, dict) or not isinstance(data.get("labels"), dict):
            return data
        labels = data["labels"]
        if data.get("label_meanings"):
            raise ValueError("labels: gives meanings already; remove label_meanings")
        meanings = {str(label): meaning for label, meaning in labels.items() if meaning not in (None, "")}
        return {**data, "labels": [str(label) for label in labels], "label_meanings": meanings}

    @model_validator(mode="after")
    def _labels_fit(self) -> "Task":
        for field in ("label_meanings", "label_shares"):
            if unknown := [name for name in getattr(self, field) if name not in self.labels]:
                raise ValueError(f"{field}: {unknown[0][:_SHOWN]!r} is not one of the labels")
        if self.label_shares:
            if missing := [label for label in self.labels if label not in self.label_shares]:
                raise ValueError(f"label_shares: {missing[0][:_SHOWN]!r} has none; give every label its share")
            total = sum(self.label_shares.values())
            if abs(total - 1) > _SHARES_OFF:
                raise ValueError(f"label_shares: add up to {total:.3g}; they must add up to 1")
        kind = kind_named(self.kind)
        if self.output_schema is not None and not kind.structured:
            raise ValueError(f"schema: a {self.kind} task has none; remove it or set kind: extraction")
        self.rules.check(self.labels, [example.output for example in self.examples])
        return self

    @property
    def rules(self) -> TaskKind:
        """What its kind means: how answers are read and scored, and whether there are labels."""
        kind = kind_named(self.kind)
        return kind if self.output_schema is None else kind.of(self.answer_schema)

    @property
    def answer_schema(self) -> Schema | None:
        """The schema with a largest size for every string and list; None where answers are no objects."""
        if self.output_schema is None:
            return None
        outputs = tuple(example.output for example in self.examples)
        return _sized(self.output_schema, outputs, self.settings.field_max_length, self.settings.field_max_items)

    @property
    def question(self) -> str:
        """The instruction, followed by what is said of the fields where answers are objects."""
        schema = self.output_schema
        return self.instruction if schema is None else f"{self.instruction}\n\n{schema.described()}"


@lru_cache(maxsize=100)
def _sized(schema: Schema, outputs: tuple[str, ...], longest: int | None, most: int | None) -> Schema:
    return sized(schema, [found_object(text) or {} for text in outputs], longest, most)


def _schema_for_objects(data: Mapping[str, Any]) -> None:
    """Refuse objects without a schema, before each of them is said to be no text."""
    examples = data.get("examples")
    shown = examples if isinstance(examples, list | tuple) else []
    if any(isinstance(one, Mapping) and isinstance(one.get("output"), Mapping) for one in shown):
        raise ValueError(f"schema: a task of the kind {data['kind']} needs one: each field's name with its type")


def _with_texts(schema: Schema, examples: Any) -> Any:
    """Return examples whose outputs are texts; what has another form than an example is left for its own message."""
    if not isinstance(examples, list | tuple):
        return examples
    made = []
    for number, example in enumerate(examples):
        if isinstance(example, Mapping) and "output" in example:
            try:
                text = checked(schema, example["output"])
            except ValueError as error:
                raise ValueError(_at(f"examples.{number}.output", str(error))) from None
            example = {**example, "output": text}
        made.append(example)
    return made


def _at(place: str, message: str) -> str:
    """Return a message with its place; one that begins with a field's name gets that into the place."""
    field, colon, rest = message.partition(": ")
    return f"{place}.{field}: {rest}" if colon and " " not in field else f"{place}: {message}"
