"""What is mutated, and the tests that should notice: for each file a few that are fast and touch it."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Subject:
    """Files with the tests for them.

    :param name: as the table shows it
    :param files: paths from the root of the repository
    :param tests: what pytest is asked to run, the quickest first
    :param sample: how many of the mutants are run at most, drawn with a fixed seed
    """

    name: str
    files: tuple[str, ...]
    tests: tuple[str, ...]
    sample: int


def _views(*patterns: str) -> tuple[str, ...]:
    folder = ROOT / "selfguide_lite" / "store" / "views"
    return tuple(str(path.relative_to(ROOT)) for pattern in patterns for path in sorted(folder.glob(f"{pattern}.sql")))


SUBJECTS = (
    Subject(
        "statistics",
        ("selfguide_lite/evaluate/statistics.py",),
        ("tests/evaluate/test_statistics.py", "tests/evaluate/test_metrics.py"),
        30,
    ),
    Subject(
        "calibration",
        ("selfguide_lite/methods/calibration.py", "selfguide_lite/evaluate/prior.py"),
        ("tests/methods/test_calibration.py", "tests/evaluate/test_prior.py"),
        30,
    ),
    Subject("sampling", ("selfguide_lite/llm/draw.py",), ("tests/llm/test_draw.py",), 40),
    Subject("label scoring", ("selfguide_lite/llm/scoring.py",), ("tests/llm/test_score.py",), 30),
    Subject(
        "views of inputs and outputs",
        _views("filter_input_*", "filter_output_*", "filter_setting", "input_*", "length_bound", "output_*"),
        (
            "tests/store/test_inputs.py",
            "tests/store/test_views.py",
            "tests/own_data/test_views.py",
            "tests/kinds/test_extraction.py",
            "tests/task/test_change.py",
            "tests/store/test_agreement.py",
        ),
        40,
    ),
    Subject(
        "views of answers",
        _views("agreement", "answer*", "field_*", "filter_answer_*", "label_prior", "vote"),
        (
            "tests/store/test_answers.py",
            "tests/store/test_views.py",
            "tests/kinds/test_extraction.py",
            "tests/own_data/test_views.py",
            "tests/store/test_agreement.py",
        ),
        40,
    ),
    Subject(
        "views of the dataset",
        _views("by_hand", "dataset", "funnel", "pair", "provenance", "review_in_force"),
        (
            "tests/own_data/test_views.py",
            "tests/store/test_views.py",
            "tests/review/test_store.py",
            "tests/store/test_answers.py",
            "tests/store/test_agreement.py",
        ),
        40,
    ),
)
