"""YAML as this tool reads it: bounded in size, depth and number of values, no aliases, no tags, every scalar a text.

One loader for task files and settings files. What it makes is mappings, lists, texts and null, with the place of each.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from selfguide_lite.core.errors import SelfguideError

Place = tuple[str, ...]  # such as ("examples", "1", "output"); () for the whole file
Places = dict[Place, tuple[int, int]]  # line and column of every field, both from 1

MAX_BYTES = 2**20
_MAX_DEPTH = 16  # the parser's time grows with the square of the depth
_MAX_VALUES = 20_000


@dataclass(frozen=True, slots=True)
class Document:
    """What a file holds.

    :param places: where its fields stand
    :param repeated: fields that are given twice, with the place of the second one
    """

    data: Any
    places: Places
    repeated: list[tuple[Place, tuple[int, int]]]


def read_yaml(path: Path, what: str) -> Document:
    """Read a YAML file.

    :param what: what the file is, for messages, such as `task file`
    :raises SelfguideError: where it cannot be read, is too large or is no YAML, naming the file, line and column
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)  # bounded whatever it is: a device has no size and no end
        if len(raw) > MAX_BYTES:
            raise SelfguideError(f"{path}: larger than {MAX_BYTES // 2**20} MiB, which no {what} needs")
        text = raw.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SelfguideError(f"{path}: cannot read this {what}: {reason}") from error
    return parse_yaml(text, f"{path}: ", what)


def parse_yaml(text: str, where: str, what: str) -> Document:
    """Read YAML from a text.

    :param where: begins every message
    :param what: what the text is, for messages
    :raises SelfguideError: where it is no YAML, or none that is read here
    """
    with _one_line(where, text):
        loader = _Loader(text, where, what)
        try:
            node = loader.get_single_node()
            data = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    places: Places = {(): (1, 1)}
    repeated: list[tuple[Place, tuple[int, int]]] = []

    def walk(node: yaml.Node | None, place: Place, mark: yaml.Mark | None = None) -> None:
        if node is None:
            return
        start = mark or node.start_mark  # a field is found by its name, an item of a list by itself
        if place in places and place:
            repeated.append((place, (start.line + 1, start.column + 1)))
        places[place] = (start.line + 1, start.column + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                walk(value, (*place, str(key.value)), key.start_mark)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                walk(value, (*place, str(number)))

    walk(node, ())
    return Document(data, places, repeated)


class _Loader(yaml.SafeLoader):
    """A safe loader that makes fewer types still, and stops as soon as a bound is passed.

    Plain scalars but null are texts, so that labels such as yes, 5 or 2024-01-01 stay as they are written; numbers and
    switches of the settings are read from their text. A tag such as !!int or !!timestamp is refused: the library's own
    constructors fail in many ways on values that do not fit.
    """

    def __init__(self, text: str, where: str, what: str):
        self._where, self._what = where, what
        self._depth = self._values = 0
        super().__init__(text)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise self._refused(f"YAML aliases are not supported in a {self._what}; write the text out")
        self._depth += 1
        self._values += 1
        if self._depth > _MAX_DEPTH:
            raise self._refused(f"nested too deep for a {self._what}")
        if self._values > _MAX_VALUES:
            raise self._refused(f"more than {_MAX_VALUES:,} values, which no {self._what} needs")
        try:
            node: yaml.Node | None = super().compose_node(parent, index)
        finally:
            self._depth -= 1
        return node

    def construct_text(self, node: yaml.ScalarNode) -> str:
        """Join the two halves of a character that JSON writes as two escapes; a lone half is reported later."""
        return str(self.construct_scalar(node)).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge nothing: a merge key is one more tag that is not read here."""

    def _refused(self, why: str) -> SelfguideError:
        mark: yaml.Mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        return SelfguideError(f"{self._where}line {mark.line + 1}, column {mark.column + 1}: {why}")


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:null"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_constructors = {
    tag: constructor
    for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in ("null", "seq", "map")
}
_Loader.add_constructor("tag:yaml.org,2002:str", _Loader.construct_text)


@contextmanager
def _one_line(where: str, text: str) -> Iterator[None]:
    try:
        yield
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        raise SelfguideError(
            f"{where}line {line}, column {column}: not valid YAML: the character U+{int(error.character):04X} is not"
            " allowed; remove it"
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise SelfguideError(f"{where}{place}not valid YAML: {(error.problem or 'it cannot be read')[:200]}") from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        first = next(iter(str(error).splitlines()), "") or "it cannot be read"
        raise SelfguideError(f"{where}not valid YAML: {first}") from error
