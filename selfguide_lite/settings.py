"""Every setting of a run with its default, by kind of task.

The defaults were chosen by measurement on small real models (docs/results.md). The paper's own values (arXiv
2407.12874) ship as the settings file `paper`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Temperature = Annotated[float, Field(ge=0, le=5)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
_MOST = 1_000_000  # more of anything than there can be; far below what a database's or an array's integers hold


class Settings(BaseModel):
    """What a user may set. None: the default of the task's kind, see `resolve`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # generate
    input_style: Literal["chat-turns", "paper"] = "chat-turns"
    rounds: Count = 10
    prompts_per_round: Count = 40
    prompts_per_draw: Count = 20
    input_temperature: Temperature = 1.0
    input_top_k: Annotated[int, Field(ge=0, le=_MOST)] = 40
    input_max_tokens: Count = 500
    max_pool_inputs: Annotated[int, Field(ge=0, le=100)] = 6
    prompt_budget: Count = 3000
    fruitless_rounds: Count = 10
    label_condition: bool = True
    label_order: Literal["in-turn", "random"] = "in-turn"
    # annotate
    annotate_each_round: bool | None = None
    method: Literal["score", "sample", "greedy"] | None = None
    samples: Annotated[int, Field(ge=1, le=1000)] = 10
    output_temperature: Temperature = 0.2
    output_top_k: Annotated[int, Field(ge=0, le=_MOST)] = 10
    output_max_tokens: Count = 500
    # filters (rows of the table `setting`, read by the views)
    noise_filter: bool = True
    noise_list: Literal["modern", "paper"] = "modern"
    input_length_filter: bool = True
    output_length_filter: bool | None = None
    length_rule: Literal["range", "deviations"] = "range"
    length_factor: Annotated[float, Field(ge=1, le=_MOST)] = 3.0
    length_deviations: Annotated[float, Field(gt=0, le=_MOST)] = 2.0
    length_slack_share: Annotated[float, Field(ge=0, le=_MOST)] = 0.25
    length_slack_min: Annotated[int, Field(ge=0, le=_MOST)] = 10
    near_duplicate_threshold: Share | None = 0.8
    label_named_filter: bool | None = None
    consistency_filter: bool = True
    min_share: Share = 0.3
    calibrate: bool | None = None
    calibrate_min_inputs: Annotated[int, Field(ge=0, le=_MOST)] = 20
    agreement_filter: bool | None = None
    agreement_min_pairs: Annotated[int, Field(ge=0, le=_MOST)] = 10
    min_confidence: Share = 0.0
    balance: bool | None = None
    random_labels: bool = False
    dataset_seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    # finetune
    answer_style: Literal["few-shot", "bare"] = "few-shot"
    epochs: Annotated[float, Field(gt=0, le=1000)] = 3
    min_steps: Count = 40
    max_steps: Count = 150
    average_weights: Share = 0.5
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
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
        method = self.method or ("score" if classification else "greedy")
        conditioned = classification and self.label_condition

        def default(value: bool | None, otherwise: bool) -> bool:
            return otherwise if value is None else value

        filled = {
            "method": method,
            "annotate_each_round": default(self.annotate_each_round, conditioned and method == "score"),
            "output_length_filter": default(self.output_length_filter, not classification),
            "label_named_filter": default(self.label_named_filter, classification),
            "calibrate": default(self.calibrate, method == "score"),
            "agreement_filter": default(self.agreement_filter, conditioned),
            "balance": default(self.balance, classification),
        }
        return self.model_copy(update=filled)
