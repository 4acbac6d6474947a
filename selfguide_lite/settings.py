"""Every setting of a run with its default, by kind of task: the paper's where it has one (arXiv 2407.12874).

The four that `selfguide search` chooses have theirs in a file that ships with the tool, written as `search` writes it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from selfguide_lite.resources import resource
from selfguide_lite.yaml_file import read_yaml

Share = Annotated[float, Field(ge=0, le=1)]
Temperature = Annotated[float, Field(ge=0, le=5)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
_MOST = 1_000_000  # more of anything than there can be; far below what a database's or an array's integers hold


class _Chosen(BaseModel):
    """What the shipped default settings file says."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    input_temperature: Temperature
    epochs: Annotated[float, Field(gt=0, le=1000)]
    input_length_filter: bool
    output_length_filter: bool | None = None


_CHOSEN = _Chosen.model_validate(read_yaml(resource("data/settings/default.yaml"), "settings file").data)


class Settings(BaseModel):
    """What a user may set. None: the default of the task's kind, see `resolve`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # generate
    rounds: Count = 40
    prompts_per_round: Count = 10
    input_temperature: Temperature = _CHOSEN.input_temperature
    input_top_k: Annotated[int, Field(ge=0, le=_MOST)] = 40
    input_max_tokens: Count = 500
    max_pool_inputs: Annotated[int, Field(ge=0, le=100)] = 10
    prompt_budget: Count = 3000
    fruitless_rounds: Count = 10
    label_condition: bool = True
    # annotate
    method: Literal["score", "sample"] | None = None
    samples: Annotated[int, Field(ge=1, le=1000)] = 10
    output_temperature: Temperature = 0.2
    output_top_k: Annotated[int, Field(ge=0, le=_MOST)] = 10
    output_max_tokens: Count = 500
    # filters (rows of the table `setting`, read by the views)
    noise_filter: bool = True
    input_length_filter: bool = _CHOSEN.input_length_filter
    output_length_filter: bool | None = _CHOSEN.output_length_filter
    length_deviations: Annotated[float, Field(gt=0, le=_MOST)] = 2.0
    length_slack_share: Annotated[float, Field(ge=0, le=_MOST)] = 0.25
    length_slack_min: Annotated[int, Field(ge=0, le=_MOST)] = 10
    near_duplicate_threshold: Share | None = None
    consistency_filter: bool = True
    min_share: Share = 0.3
    balance: bool | None = None
    random_labels: bool = False
    dataset_seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    # finetune
    epochs: Annotated[float, Field(gt=0, le=1000)] = _CHOSEN.epochs
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    batch_size: Count = 8
    accumulation: Count = 1
    max_length: Count = 2048
    lora_rank: Annotated[int, Field(ge=1, le=1024)] = 16
    lora_alpha: Annotated[float, Field(gt=0, le=_MOST)] = 32
    lora_dropout: Share = 0.0

    def changed(self, given: Mapping[str, Any]) -> "Settings":
        """Return settings with the given fields changed and checked; only what was ever given counts as set."""
        return Settings.model_validate({**self.model_dump(exclude_unset=True), **given})

    def resolve(self, kind: str) -> "Settings":
        """Return settings with the defaults of a kind of task filled in."""
        classification = kind == "classification"
        filled = {
            "method": self.method or ("score" if classification else "sample"),
            "output_length_filter": not classification
            if self.output_length_filter is None
            else self.output_length_filter,
            "balance": classification if self.balance is None else self.balance,
        }
        return self.model_copy(update=filled)
