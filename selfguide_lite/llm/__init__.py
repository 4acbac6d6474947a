"""The engine: text in, text out, many at once."""

import os
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message
from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.llm.base import Completion, Engine, Request, ScoreRequest, Scores

__all__ = [
    "Completion",
    "Engine",
    "Message",
    "ModelInfo",
    "Request",
    "ScoreRequest",
    "Scores",
    "model_path",
    "open_engine",
]


def model_path(given: Path | None = None) -> Path:
    """Return the GGUF file to use: the one given, else `$SELFGUIDE_MODEL`, else the default model.

    :raises SelfguideError: where there is no such file, or the default model is not here, with the way to get it
    """
    path, origin = given, ""
    if path is None and os.environ.get("SELFGUIDE_MODEL"):
        path, origin = Path(os.environ["SELFGUIDE_MODEL"]).expanduser(), " (from SELFGUIDE_MODEL)"
    if path is None:
        from selfguide_lite.models import default_model

        path = default_model()
    if not path.is_file():
        raise SelfguideError(f"{path}{origin}: no such model file; give a GGUF file with -m or SELFGUIDE_MODEL")
    return path


def open_engine(
    model: Path | None = None,
    *,
    adapter: Path | None = None,
    adapter_scale: float = 1.0,
    server: str | None = None,
    server_model: str | None = None,
    n_ctx: int | None = None,
    tune: bool = True,
    **overrides: Any,
) -> Engine:
    """Open an engine: a GGUF file on this machine, or a server.

    :param model: the GGUF file; None: `$SELFGUIDE_MODEL`, else the default model
    :param adapter: a GGUF LoRA adapter, at `adapter_scale`
    :param server: base URL of an OpenAI-compatible server; then `model` is not used
    :param server_model: the model's name there; None: the first one it offers
    :param n_ctx: tokens of one sequence at most; None: what the model was trained for, at most 4096
    :param tune: measure at first load what is fastest here; the result is kept in the cache folder
    :param overrides: fields of `llama.Tuning` that override what was measured
    :raises SelfguideError: where the model or the server cannot be used
    """
    if server is not None:
        from selfguide_lite.llm.server import ServerEngine

        if adapter is not None:
            raise SelfguideError("an adapter cannot be used with --server; start the server with it instead")
        return ServerEngine(server, model=server_model, n_ctx=n_ctx)
    from selfguide_lite.gguf.check import check_model
    from selfguide_lite.llm.tuning import open_tuned

    path = model_path(model)
    check_model(path)
    if adapter is not None and adapter.is_file():
        from selfguide_lite.gguf.adapter import check_adapter

        check_adapter(adapter, path)
    return open_tuned(
        path, n_ctx=n_ctx, adapter=adapter, adapter_scale=adapter_scale, measure=tune, overrides=overrides
    )
