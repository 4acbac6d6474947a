"""The engine: text in, text out, many at once."""

import os
from pathlib import Path

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message
from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.llm.base import Completion, Engine, Request, ScoreRequest, Scores
from selfguide_lite.llm.options import EngineOptions

__all__ = [
    "Completion",
    "Engine",
    "EngineOptions",
    "Message",
    "ModelInfo",
    "Request",
    "ScoreRequest",
    "Scores",
    "model_path",
    "open_engine",
]


def model_path(given: Path | str | None = None) -> Path:
    """Return the GGUF file to use: the one given, else `$SELFGUIDE_MODEL`, else the default model.

    :raises SelfguideError: where there is no such file, or the default model is not here, with the way to get it
    """
    path, origin = None if given is None else Path(given), ""
    if path is None and os.environ.get("SELFGUIDE_MODEL"):
        path, origin = Path(os.environ["SELFGUIDE_MODEL"]).expanduser(), " (from SELFGUIDE_MODEL)"
    if path is None:
        from selfguide_lite.models import default_model

        path = default_model()
    if not path.is_file():
        raise SelfguideError(f"{path}{origin}: no such model file; give a GGUF file with -m or SELFGUIDE_MODEL")
    return path


def open_engine(
    model: Path | str | None = None, options: EngineOptions | None = None, *, adapter: Path | None = None
) -> Engine:
    """Open an engine: a GGUF file on this machine, or a server.

    :param model: the GGUF file, not used where a server answers; None: `$SELFGUIDE_MODEL`, else the default model
    :param adapter: a GGUF LoRA adapter
    :raises SelfguideError: where the model, the server or the installed llama.cpp cannot be used
    """
    options = options or EngineOptions()
    if options.server is not None:
        from selfguide_lite.llm.server import ServerEngine

        if adapter is not None:
            raise SelfguideError("an adapter cannot be used with --server; start the server with it instead")
        return ServerEngine(options.server, model=options.server_model, n_ctx=options.n_ctx)
    from selfguide_lite.gguf.check import check_model
    from selfguide_lite.llm.build_check import require_build

    path = model_path(model)
    require_build()
    from selfguide_lite.llm.tuning import open_tuned

    check_model(path)
    if adapter is not None and adapter.is_file():
        from selfguide_lite.gguf.adapter import check_adapter

        check_adapter(adapter, path)
    return open_tuned(path, n_ctx=options.n_ctx, adapter=adapter, measure=options.tune, overrides=options.tuning)
