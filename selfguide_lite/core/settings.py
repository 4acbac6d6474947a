"""Every setting of a run with its default; those of a task's kind are in `kinds/`.

The defaults were chosen by measurement on small real models (docs/results.md). The paper's own values (arXiv
2407.12874) ship as the settings file `paper`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from selfguide_lite.core.registry import ANSWER_STYLES, INPUT_STYLES, TRAINERS
from selfguide_lite.core.renamed import with_current_names

Share = Annotated[float, Field(ge=0, le=1)]
Temperature = Annotated[float, Field(ge=0, le=5)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
_MOST = 1_000_000  # more of anything than there can be; far below what a database's or an array's integers hold
# Settings that came when there were records already, and what a record means that does not name them.
_CAME_LATER: Mapping[str, Any] = MappingProxyType(
    {
        "trainer": "unsloth",
        "added_filters_off": "",
        "given_weight": 1,
        "field_max_length": None,
        "field_max_items": None,
        "direction": "input-first",
        "min_votes": 1,
        "pairs": None,
        # Of no effect with the prompt that is the default.
        "teacher": True,
        "example_weight": 8,
    }
)


def as_recorded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they are written down: equal ones are equal in records of all versions.

    A setting that came later is left out while its value is what the versions before did.
    """
    return {name: value for name, value in values.items() if name not in _CAME_LATER or value != _CAME_LATER[name]}


class Settings(BaseModel):
    """What a user may set. None: the default of the task's kind, see `TaskKind.resolve`."""

    # The text under a field is its description: docs/settings.md is made from it.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    # generate
    input_style: Annotated[str, AfterValidator(INPUT_STYLES.checked)] = "chat-turns"
    """How a new input is asked for: in chat turns, or by the paper's single prompt."""
    rounds: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    """Rounds of prompts. Inputs that were kept in earlier rounds are shown in later ones. 0: only inputs
    of your own are answered."""
    pairs: Annotated[int, Field(ge=1, le=_MOST)] | None = None
    """Stop writing once the dataset has so many pairs, which is looked at after every round. `rounds` is then 100 where
    it is not given; what is reached first ends it. `null`: write all rounds."""
    prompts_per_round: Count = 40
    """Prompts in a round; each asks for one input."""
    prompts_per_draw: Count = 20
    """Prompts that show the same examples and earlier inputs, so that this part is computed once."""
    input_temperature: Temperature = 1.0
    """Sampling temperature for inputs. Higher: more varied inputs, more of them rejected."""
    input_top_k: Annotated[int, Field(ge=0, le=_MOST)] = 40
    """Sample inputs from the k likeliest tokens; 0: from all."""
    input_max_tokens: Count = 500
    """Tokens of an input at most. Fewer are allowed where the length filter would reject longer ones."""
    max_pool_inputs: Annotated[int, Field(ge=0, le=100)] = 6
    """Earlier inputs that a prompt shows at most, beside the seed examples."""
    prompt_budget: Count = 3000
    """Tokens of a prompt for an input at most; over it, fewer earlier inputs are shown."""
    patience_rounds: Count = 10
    """Stop writing after so many rounds in a row in which no input was kept."""
    label_condition: bool = True
    """Ask for the input of a given label. Classification only."""
    label_order: Literal["in-turn", "random"] = "in-turn"
    """Which label is asked for: each in its turn, or one at random."""
    direction: Literal["input-first", "output-first"] | None = None
    """Write an input and then answer it, or make up an object and then write an input that contains it. Output first is
    for extraction only, and its default."""
    # annotate
    annotate_each_round: bool | None = None
    """Answer the inputs after every round, not at the end, so that prompts show only inputs whose answer is the label
    asked for. On for classification with `label_condition` and the method `score`."""
    method: Literal["score", "sample", "greedy", "mbr", "asked"] | None = None
    """How an input is answered: `score` computes every label's share, `sample` draws answers that vote, `greedy` takes
    the likeliest answer, `mbr` (minimum Bayes risk) draws answers and takes the one most like the others by ROUGE-L,
    `asked` takes the object that the input was written from."""
    samples: Annotated[int, Field(ge=1, le=1000)] = 10
    """Answers drawn for an input by the methods `sample` and `mbr`."""
    output_temperature: Temperature = 0.2
    """Sampling temperature for answers by the methods `sample` and `mbr`."""
    output_top_k: Annotated[int, Field(ge=0, le=_MOST)] = 10
    """Sample answers from the k likeliest tokens; 0: from all. Methods `sample` and `mbr`."""
    output_max_tokens: Count = 500
    """Tokens of a free-text answer, or of an object, at most."""
    field_max_length: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Characters of a string in an object at most, where the schema does not say it; `null`: three times the longest of
    that field in the examples, at least 40. Extraction only."""
    field_max_items: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Items of a list in an object at most, where the schema does not say it; `null`: three times the longest of that
    field in the examples, at least 5. Extraction only."""
    # filters (rows of the table `setting`, read by the views)
    noise_filter: bool = True
    """Reject inputs and outputs that contain a noise term."""
    noise_list: Literal["modern", "paper"] = "modern"
    """The default noise terms, where the task file has no list of its own."""
    input_length_filter: bool = True
    """Reject inputs that are much shorter or longer than the examples' inputs."""
    output_length_filter: bool | None = None
    """Reject outputs that are much shorter or longer than the examples' outputs."""
    length_rule: Literal["range", "deviations"] = "range"
    """`range`: by the shortest and the longest example. `deviations`: by mean and standard deviation."""
    length_factor: Annotated[float, Field(ge=1, le=_MOST)] = 3.0
    """Rule `range`: kept from the shortest length divided by this to the longest times this."""
    length_deviations: Annotated[float, Field(gt=0, le=_MOST)] = 2.0
    """Rule `deviations`: kept within so many standard deviations of the mean."""
    length_slack_share: Annotated[float, Field(ge=0, le=_MOST)] = 0.25
    """Rule `deviations`, where all examples are equally long: slack as a share of their length."""
    length_slack_min: Annotated[int, Field(ge=0, le=_MOST)] = 10
    """Rule `deviations`, where all examples are equally long: slack in characters at least."""
    near_duplicate_threshold: Share | None = 0.8
    """Reject an input whose similarity to an earlier one is at least this; `null`: only exact copies. Values under 0.5
    act as 0.5."""
    label_named_filter: bool | None = None
    """Reject inputs that name a label which no example's input names."""
    consistency_filter: bool = True
    """Let the samples vote, and require `min_vote_share`. Off: the first answer counts."""
    min_vote_share: Share = 0.3
    """Smallest share of the votes that the winning answer needs, calibrated where `calibrate` is on."""
    min_votes: Count = 1
    """Samples that must have given the winning answer. Method `sample`: the others give one vote for an answer."""
    calibrate: bool | None = None
    """Divide every label's share by its mean over the kept inputs. On where the method is `score`."""
    calibrate_min_inputs: Annotated[int, Field(ge=0, le=_MOST)] = 20
    """Calibrate only where at least so many kept inputs are answered."""
    agreement_filter: bool | None = None
    """Reject a pair whose answer is not the label that was asked for. On for classification with `label_condition`."""
    agreement_min_pairs: Annotated[int, Field(ge=0, le=_MOST)] = 10
    """Do without `agreement_filter` where the rarest label would keep fewer pairs than this."""
    min_confidence: Share = 0.0
    """Smallest calibrated share of the winning label; 0: no limit."""
    balance: bool | None = None
    """Keep as many pairs of every label as the rarest label has. Classification only."""
    random_labels: bool = False
    """Replace every answer by a random label: an experiment that shows what the inputs alone teach."""
    dataset_seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Decides which pairs `balance` keeps, and the labels of `random_labels`."""
    added_filters_off: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]*(, ?[a-z][a-z0-9_]*)*)?$", max_length=1000)] = ""
    """Filters of inputs that do not judge inputs of your own: their names with commas, such as `length, noise`."""
    given_weight: Annotated[int, Field(ge=0, le=100)] = 1
    """How often an epoch shows a row that you gave with its answer; 0: not at all."""
    # finetune
    answer_style: Annotated[str, AfterValidator(ANSWER_STYLES.checked)] = "few-shot"
    """The prompt that is trained on and used afterwards: with the examples, or without."""
    teacher: bool = True
    """Where `answer_style` is not `few-shot`: train a model with the full prompt first, and learn its answers to all
    kept inputs. It takes a second training. Classification only."""
    example_weight: Annotated[int, Field(ge=0, le=100)] = 8
    """How often an epoch shows each of the task's examples, where the prompt of `answer_style` does not; 0: not at
    all."""
    trainer: Annotated[str, AfterValidator(TRAINERS.checked)] = "unsloth"
    """What trains the LoRA."""
    epochs: Annotated[float, Field(gt=0, le=1000)] = 2
    """Passes over the dataset."""
    min_steps: Count = 40
    """Optimizer steps at least: a small dataset gets more epochs."""
    max_steps: Count = 150
    """Optimizer steps at most: a large dataset gets fewer epochs."""
    average_weights: Share = 0.5
    """Share of the steps, at the end, over which the weights are averaged; 0: the last weights."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Weight decay of the optimizer."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Learning rate at its peak; `null`: by the model's size, 2e-4 from 135 million parameters on, and less where there
    are more steps than two passes and 40."""
    batch_size: Count = 8
    """Rows of a step."""
    gradient_accumulation_steps: Count = 1
    """Steps whose gradients are summed before the weights change."""
    max_seq_length: Count = 2048
    """Tokens of prompt and answer at most; longer rows are left out."""
    lora_rank: Annotated[int, Field(ge=1, le=1024)] = 16
    """Rank of the LoRA."""
    lora_alpha: Annotated[float, Field(gt=0, le=_MOST)] = 32
    """The LoRA is scaled by `lora_alpha / lora_rank`."""
    lora_dropout: Share = 0.0
    """Dropout on the LoRA's input."""

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, data: Any) -> Any:
        return with_current_names(data) if isinstance(data, Mapping) else data

    def changed(self, given: Mapping[str, Any]) -> "Settings":
        """Return settings with the given fields changed and checked; only what was ever given counts as set."""
        return Settings.model_validate({**self.model_dump(exclude_unset=True), **with_current_names(given)})
