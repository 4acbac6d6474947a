"""What is remembered of a model that made a text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a run must remember of a model.

    :param path: the GGUF file, or the server's base URL
    :param sha256: of the file; for a server of its URL and model name
    :param adapter: GGUF adapter in use, if any
    """

    name: str
    path: str
    sha256: str
    architecture: str
    parameters: int
    adapter: str | None = None
