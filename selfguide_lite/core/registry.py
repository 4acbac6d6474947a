"""What can be added as one file: found by its name in a folder of this package, or as an installed package's plugin.

Knows only names and places: nothing is imported before it is asked for.
"""

from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError

_PACKAGE = "selfguide_lite"
_BASE = "base"  # the module beside the entries that says what they have in common


@dataclass(frozen=True, slots=True)
class Registry:
    """Entries of one sort, each a class in a module of its own.

    The entry `chat-turns` is the module `chat_turns` in the folder. Another installed package adds one with an entry
    point: its group is the folder's package (`selfguide_lite.kinds`), its name the entry's, its object the class.

    :param what: such as `kind of task`, for messages
    :param room: below this package, such as `finetune.trainers`
    :param attribute: name of the class in a module of the folder
    """

    what: str
    room: str
    attribute: str
    _made: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def group(self) -> str:
        """The group of entry points, which is also the name of the package that has the shipped entries."""
        return f"{_PACKAGE}.{self.room}"

    def names(self) -> tuple[str, ...]:
        """Return the names of all entries in alphabetical order, shipped ones first."""
        shipped = _shipped(self.room)
        return (*shipped, *sorted(name for name in self._plugins() if name not in shipped))

    def __contains__(self, name: str) -> bool:
        return name in self._made or name in _shipped(self.room) or name in self._plugins()

    def checked(self, name: str) -> str:
        """Return a name that has an entry.

        :raises ValueError: where there is none, with the names that there are
        """
        if name not in self:
            raise ValueError(f"there is no {self.what} {name[:80]!r}; there are: {', '.join(self.names())}")
        return name

    def get(self, name: str) -> Any:
        """Return the entry of a name: one instance of its class, always the same.

        :raises SelfguideError: where there is none, or its module cannot be imported
        """
        if name not in self._made:
            try:
                self._made[name] = self._found(self.checked(name))()
            except (ValueError, ImportError, AttributeError) as error:
                raise SelfguideError(f"{self.what} {name[:80]!r}: {error}") from error
        return self._made[name]

    def forget(self) -> None:
        """Forget the instances: a program that changed what is installed gets new ones."""
        self._made.clear()

    def _found(self, name: str) -> Any:
        if name in _shipped(self.room):
            return getattr(import_module(f"{self.group}.{name.replace('-', '_')}"), self.attribute)
        return self._plugins()[name].load()

    def _plugins(self) -> dict[str, Any]:
        from importlib.metadata import entry_points  # takes 40 ms

        return {point.name: point for point in entry_points(group=self.group)}


@cache
def _shipped(room: str) -> tuple[str, ...]:
    folder = Path(__file__).parents[1].joinpath(*room.split("."))
    stems = sorted(path.stem for path in folder.glob("*.py"))
    return tuple(stem.replace("_", "-") for stem in stems if not stem.startswith("_") and stem != _BASE)


KINDS = Registry("kind of task", "kinds", "Kind")
INPUT_STYLES = Registry("input style", "prompt_styles", "Style")
ANSWER_STYLES = Registry("answer style", "prompt_styles.answers", "Style")
ARCHITECTURES = Registry("architecture", "gguf.architectures", "Architecture")
TRAINERS = Registry("trainer", "finetune.trainers", "Trainer")
TARGETS = Registry("export target", "export.targets", "Target")
FORMS = Registry("form of a record", "dataset_files.forms", "Form")
