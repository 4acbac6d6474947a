"""How an engine is opened: the same for every model of a job."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How the engine of a job is opened.

    :param server: base URL of an OpenAI-compatible server that answers in the model's place
    :param server_model: the model's name there; None: the first one it offers
    :param n_ctx: tokens of one sequence at most; None: what the model was trained for, at most 4096, and for
        LongRoPE at most its original context
    :param tune: measure at first load what is fastest here; the result is kept in the cache folder
    :param tuning: fields of `llm.llama.Tuning` that override what was measured, such as ``{"workers": 1}``
    """

    server: str | None = None
    server_model: str | None = None
    n_ctx: int | None = None
    tune: bool = True
    tuning: Mapping[str, int | bool] = field(default_factory=dict)
