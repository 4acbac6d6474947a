"""The names of methods, as the table `evaluation` and every program that reads it know them.

A name is a family (how the model is asked, or that it was finetuned) and, but for free text, how its answer is read:
the label with the largest probability (`scored`), or with the largest share after calibration (`calibrated`), or the
object that decoding held to the schema (`constrained`).
"""

from collections.abc import Iterable
from typing import Literal, get_args

from selfguide_lite.kinds import kind_named

AnswerForm = Literal["free", "scored", "calibrated", "constrained"]
HOWS: tuple[AnswerForm, ...] = get_args(AnswerForm)

ZERO_SHOT = "zero-shot"
FEW_SHOT = "few-shot"
SELF_ICL = "self-icl"
FINETUNED = "finetuned"
FEW_SHOT_FINETUNING = "few-shot finetuning"
OLD_FINETUNED = "selfguide"  # what databases of before 2026-11-24 call it, asked for free text

# What is asked of each family, in the order of tables. Zero-shot free text has hardly ever the form of an answer.
_LABELLED: dict[str, tuple[AnswerForm, ...]] = {
    ZERO_SHOT: ("scored", "calibrated"),
    FEW_SHOT: ("free", "scored", "calibrated"),
    FINETUNED: ("free", "scored", "calibrated"),
}
_STRUCTURED: dict[str, tuple[AnswerForm, ...]] = {
    ZERO_SHOT: ("constrained",),
    FEW_SHOT: ("free", "constrained"),
    FINETUNED: ("constrained",),
}
# Of methods that are equally good the simpler one is taken: scores before calibrated ones before free text, and the
# shorter prompt.
_SIMPLEST: tuple[AnswerForm, ...] = ("scored", "constrained", "calibrated", "free")
_SHORTEST = (ZERO_SHOT, FEW_SHOT, SELF_ICL, FINETUNED)


def reads_labels(how: AnswerForm) -> bool:
    """Whether an answer is read off the labels' probabilities, and no text is written."""
    return how in ("scored", "calibrated")


def named(family: str, how: AnswerForm) -> str:
    """Return a method's name."""
    return family if how == "free" else f"{family} {how}"


def parts(method: str) -> tuple[str, AnswerForm]:
    """Return a method's family and how its answer is read."""
    for how in HOWS:
        if how != "free" and method.endswith(f" {how}"):
            return method.removesuffix(f" {how}"), how
    return method, "free"


def answer_forms(family: str, kind: str) -> tuple[AnswerForm, ...]:
    """Return how answers of a family are read: by labels, as objects of a schema, or as free text alone."""
    rules = kind_named(kind)
    if rules.labelled:
        return _LABELLED.get(family, _LABELLED[FINETUNED])
    return _STRUCTURED.get(family, ("constrained",)) if rules.structured else ("free",)


def names_of(families: Iterable[str], kind: str) -> list[str]:
    """Return the methods of several families, in the order of tables."""
    return [named(family, how) for family in families for how in answer_forms(family, kind)]


def usual_form(kind: str) -> AnswerForm:
    """Return how a finetuned model is asked where nothing was measured."""
    rules = kind_named(kind)
    return "scored" if rules.labelled else "constrained" if rules.structured else "free"


def is_finetuned(method: str) -> bool:
    """Tell whether a method is the run's finetuned model, also in old databases."""
    return parts(method)[0] == FINETUNED or method == OLD_FINETUNED


def simplicity(method: str) -> tuple[int, int]:
    """Return a number that is smaller for the simpler of two methods."""
    family, how = parts(method)
    return _SIMPLEST.index(how), _SHORTEST.index(family) if family in _SHORTEST else len(_SHORTEST)
