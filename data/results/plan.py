"""What belongs into the table: tasks, seeds and variants, each one run with settings of its own over the defaults."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT = "default"
# Each is the default run without one of its parts, or with one changed.
VARIANTS: dict[str, Mapping[str, Any]] = {
    DEFAULT: {},
    "paper's input prompt": {"input_style": "paper"},
    "no calibration": {"calibrate": False},
    "no agreement": {"agreement_filter": False},
    "random labels": {"random_labels": True},
    "own draws": {"prompts_per_draw": 1},
    "bare prompt": {"answer_style": "bare"},
    "bare system prompt": {"answer_style": "system"},
    "bare prompt, without examples": {"answer_style": "bare", "example_weight": 0},
    "bare prompt, without examples and teacher": {"answer_style": "bare", "example_weight": 0, "teacher": False},
    "bare prompt, without these, rate 6e-4": {
        "answer_style": "bare",
        "example_weight": 0,
        "teacher": False,
        "learning_rate": 6e-4,
    },
}
OWN_DRAWS = "own draws"
# As they are used, with a teacher and the examples.
TAUGHT = ("bare prompt", "bare system prompt")
BARE = tuple(name for name in VARIANTS if name.startswith("bare"))
# Free text: how the answer that is trained on is taken from several that were drawn.
ANSWERS: dict[str, Mapping[str, Any]] = {
    "vote": {"method": "sample"},
    "minimum Bayes risk": {"method": "mbr", "output_temperature": 0.7},
}
_SEEDS = (1, 2, 3)
UNEVEN = ("sms-spam", "subj")  # whose rows are also counted 9 : 1
_NI_CLASSIFICATION = (190, 199, 200, 738, 937, 1385, 1386)
_NI_GENERATION = (36, 39, 121, 957, 1195, 1557)
_NI_ANSWERS = (36, 121, 1195)  # with which the ways of answering are compared


@dataclass(frozen=True, slots=True)
class Planned:
    """One run.

    :param group: part of the table
    :param source: task file, or a benchmark task's JSON
    :param shares: `label_shares` that the task is told
    """

    group: str
    name: str
    source: Path
    seed: int
    variant: str = DEFAULT
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A file name that no other run has."""
        told = "-told" if self.shares else ""
        return f"{self.name}-{self.seed}-{self.variant.replace(' ', '-').replace(chr(39), '')}{told}"


def planned(shared: Path) -> Iterator[Planned]:
    """Yield all runs in the order in which they are worth doing, should time run out.

    :param shared: folder with `tasks/` and `ni/`
    """
    tasks = sorted((shared / "tasks").glob("*.yaml"))
    benchmark = {path.name.split("_")[0]: path for path in sorted((shared / "ni").glob("*.json"))}
    for seed in _SEEDS:
        for path in tasks:
            yield Planned("shared", path.stem, path, seed)
    for seed in _SEEDS:
        for number in _NI_GENERATION:
            name = f"task{number:03d}"
            yield Planned("benchmark", name, benchmark[name], seed)
        if seed == 1:
            for number in _NI_CLASSIFICATION:
                name = f"task{number:03d}"
                yield Planned("benchmark", name, benchmark[name], seed)
    for number in _NI_ANSWERS:
        for variant in ANSWERS:
            name = f"task{number:03d}"
            yield Planned("answers", name, benchmark[name], 1, variant)
    for seed in _SEEDS:
        for path in tasks:
            for variant in VARIANTS:
                if variant != DEFAULT and (seed == 1 or variant in TAUGHT):
                    yield Planned("ablation", path.stem, path, seed, variant)
    for path in tasks:
        if path.stem in UNEVEN:
            yield Planned("uneven", path.stem, path, 1, shares={"": 0.9})
