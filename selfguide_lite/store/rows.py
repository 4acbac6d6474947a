"""What goes into the store and what comes out of it, as data classes. Knows nothing of SQL."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from selfguide_lite.core.settings import Settings
from selfguide_lite.prompts import PromptTemplate

Method = Literal["sample", "score", "greedy", "mbr", "asked"]
_ONE_SIDED_5_PERCENT = 1.645  # standard deviations


@dataclass(frozen=True, slots=True)
class NewInput:
    """One generated input, as it came from the model.

    :param round: counted from 0
    :param prompt: number of the prompt in its round, counted from 0
    :param label: for classification, the label that was asked for
    :param seed_inputs: the order in which the seed examples were shown, as their numbers
    :param pool_inputs: ids of the pool inputs that were shown
    :param mean_logprob: mean natural-log probability of the drawn tokens, NaN where unknown
    :param raw: all that the model wrote, where `text` is only a part of it
    """

    task_id: int
    run_id: int
    round: int
    prompt: int
    text: str
    label: str | None = None
    seed_inputs: tuple[int, ...] = ()
    pool_inputs: tuple[int, ...] = ()
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    mean_logprob: float | None = None
    raw: str | None = None


Origin = Literal["generated", "added", "given"]


@dataclass(frozen=True, slots=True)
class OwnInput:
    """One input of a person's own.

    :param source: its place, such as `messages.csv: row 12`
    :param answer: the right one, for a given row; None for an input that the model is to answer
    """

    text: str
    source: str
    answer: str | None = None

    @property
    def origin(self) -> Origin:
        """What the column `origin` says of it."""
        return "added" if self.answer is None else "given"


@dataclass(frozen=True, slots=True)
class NewOutput:
    """One answer to an input.

    :param sample: number of the sample; for `score` the number of the label
    :param weight: votes that this answer counts for: 1 for a sample, the label's share for a score, for `mbr` what
        makes the answer win that is most like the others
    :param logprob: for `score` the natural-log probability of the whole label, else the mean of the drawn tokens'
    :param raw: all that the model wrote, where `text` is only a part of it
    """

    input_id: int
    run_id: int
    sample: int
    text: str
    method: Method = "sample"
    weight: float = 1.0
    logprob: float | None = None
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class PoolInput:
    """An input that passed every input filter.

    :param round: in which it was made; None for one that was brought in by hand
    """

    id: int
    text: str
    round: int | None = None


@dataclass(frozen=True, slots=True)
class LabelledInput(PoolInput):
    """An input of the pool with the label it was asked for and the one it was answered with.

    :param label: the label that was asked for; None for an input that nobody asked a label for
    :param answer: what the view `answer` says, calibrated where calibration is on; None where there is no answer yet
    :param agrees: whether the two are the same; None where one is missing
    """

    label: str | None = None
    answer: str | None = None
    agrees: bool | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """A row of the view `agreement`: do the labels that were asked for and those answered go together?

    :param asked: answered kept inputs that were asked for by a label, and that the other answer filters keep
    :param agreeing: those of them whose answer is that label
    :param expected: the share that would agree by chance: over the labels, share asked for times share answered
    :param rarest: pairs that the label with the fewest would keep if disagreeing inputs are dropped
    :param enabled: whether agreement_filter is on
    :param fallback: whether the filter lists nothing although it is on, because `rarest` is under agreement_min_pairs
    """

    asked: int
    agreeing: int
    expected: float
    rarest: int
    enabled: bool
    fallback: bool

    @property
    def observed(self) -> float:
        """The share that agrees; 0 where no label was asked for."""
        return self.agreeing / self.asked if self.asked else 0.0

    @property
    def beyond_chance(self) -> bool:
        """Whether more agree than chance explains, in a one-sided test at 5 %."""
        if not self.asked:
            return False
        deviation = math.sqrt(self.expected * (1 - self.expected) / self.asked)
        return self.observed > self.expected + _ONE_SIDED_5_PERCENT * deviation

    @property
    def sentence(self) -> str:
        """What a person is told, in one line."""
        told = (
            f"{self.agreeing:,} of {self.asked:,} answers ({self.observed:.0%}) are the label that was asked for; "
            f"by chance {self.expected:.0%} would be"
        )
        if self.fallback:
            told += f". None is dropped for disagreeing: the rarest label would keep {self.rarest:,} pairs"
        elif not self.enabled:
            told += ". None is dropped for disagreeing: agreement_filter is off"
        return told


@dataclass(frozen=True, slots=True)
class Pair:
    """A row of the view `dataset`: what the finetune learns.

    :param by_hand: `given` where a person gave the answer; None where a model did
    """

    input_id: int
    input: str
    output: str
    by_hand: str | None = None


@dataclass(frozen=True, slots=True)
class LengthBound:
    """A row of the view `length_bound`: which lengths of this part are kept, in characters.

    :param rule: `range`: from low to high; `deviations`: low < length < high
    """

    part: str
    n: int
    mean: float
    deviation: float
    low: float
    high: float
    enabled: bool
    rule: str = "range"


@dataclass(frozen=True, slots=True)
class LabelCount:
    """How often a label is an answer to a kept input, and how often it is in the dataset."""

    label: str
    answers: int
    pairs: int


@dataclass(frozen=True, slots=True)
class Adapter:
    """A trained adapter.

    :param path: of the GGUF file as it lies now; where it is gone, as it should
    :param pairs: that it was trained on; None where that was not written down
    """

    id: int
    task_id: int
    run_id: int
    model_id: int
    path: str
    sha256: str
    created_at: str
    pairs: int | None = None


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What is known of a model that was trained on.

    :param path: of its file as it lies now; where it is gone, as it was
    """

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """One evaluated example: the model's answer and its score as a share of 1.

    :param number: of the example among the evaluated rows
    :param label_logprobs: each label's natural-log probability, where labels were scored
    :param finish_reason: why the answer ended; it is written, not read
    """

    number: int
    input: str
    references: tuple[str, ...]
    text: str
    score: float
    label_logprobs: Mapping[str, float] | None = None
    finish_reason: str = field(default="stop", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvaluation:
    """What tells one evaluation of a task from another.

    :param method: such as `few-shot`, `few-shot calibrated`, `finetuned scored`
    :param data_sha256: hash of the rows that are evaluated
    :param n: the number of these rows
    :param prior_id: by what its answers were calibrated
    """

    method: str
    metric: str
    model_id: int | None
    adapter_id: int | None = None
    data_sha256: str = ""
    n: int = 0
    settings: Settings | Mapping[str, Any] | None = None
    template: PromptTemplate | None = None
    prior_id: int | None = None


@dataclass(frozen=True, slots=True)
class PriorKey:
    """What a prior is of.

    :param prompt: how the model was asked, such as `few-shot` or `bare`
    :param inputs_sha256: hash of the inputs' texts; to find one, None: the newest, over whatever inputs
    """

    task_id: int
    model_id: int
    adapter_id: int | None
    prompt: str
    template_sha256: str
    inputs_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One evaluation: a method on a set of examples. `mean`, `low` and `high` are None until it is finished."""

    id: int
    task_id: int
    method: str
    metric: str
    adapter_id: int | None
    n: int
    mean: float | None
    low: float | None
    high: float | None
    data_sha256: str


@dataclass(frozen=True, slots=True)
class Prior:
    """The mean share that a model with a prompt gives each label, over inputs whose answers nobody knows.

    :param n: number of inputs
    """

    id: int
    n: int
    shares: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """The result of comparing a finetuned model with prompting.

    :param over: the best prompting; None where nothing was measured
    :param winner_id: the evaluation of the method that `predict` uses; None where there is none
    """

    id: int
    task_id: int
    adapter_id: int | None
    metric: str
    data_sha256: str
    n: int
    over: str | None
    before: float | None
    after: float | None
    low: float | None
    high: float | None
    sentence: str
    winner_id: int | None


@dataclass(frozen=True, slots=True)
class WayRow:
    """What an evaluation must be known by to answer in the same way again."""

    method: str
    n: int
    model_path: str | None
    model_sha256: str | None
    adapter_id: int | None
    adapter_path: str | None
    template_sha256: str | None
    prior_id: int | None


@dataclass(frozen=True, slots=True)
class LabelScore:
    """The share that a model gives one label of one input.

    :param settings: of the run that made it
    """

    input_id: int
    label: str
    share: float
    settings: Mapping[str, Any]
