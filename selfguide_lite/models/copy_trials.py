"""What was found on this machine of models' working copies."""

from dataclasses import asdict, dataclass

from selfguide_lite.core.cache import read_json, write_json

_CACHE = "copies.json"
# So many times as fast as the model must its copy be. One in F16 is worth a part of the speed: see llm/working_copy.py.
_LEAST_GAIN = {"f16": 0.8, "q8_0": 1.05}
_MOST_DIFFERENT = 0.2  # of a label's share: more is another model. Another order of requests alone moves it by 0.05.


@dataclass(frozen=True, slots=True)
class Trial:
    """What a copy was found to be.

    :param name: file name of the original
    :param kind: the copy's type
    :param machine: processor, cores and llama.cpp that it was found with
    :param faster: how many times as fast as the original it does a stage's typical mixture
    :param difference: the largest difference of a label's share between the two, over a few short texts
    """

    name: str
    kind: str
    machine: str
    faster: float
    difference: float

    @property
    def worth_it(self) -> bool:
        """Whether the copy is fast enough and says the same."""
        return self.faster >= _LEAST_GAIN[self.kind] and self.difference <= _MOST_DIFFERENT

    def __str__(self) -> str:
        return f"{self.faster:.2f} times as fast as {self.name}, label shares up to {self.difference:.3f} apart"


def kept_trial(sha256: str, kind: str) -> Trial | None:
    """Return what was found of a model's copy; None where none was tried.

    :param sha256: the original's
    :param kind: the copy's type
    """
    try:
        found = Trial(**read_json(_CACHE)[f"{sha256}-{kind}"])
    except (KeyError, TypeError):
        return None
    return found if found.kind in _LEAST_GAIN else None


def keep_trial(sha256: str, trial: Trial) -> None:
    """Write down what was found of a model's copy."""
    write_json(_CACHE, {**read_json(_CACHE), f"{sha256}-{trial.kind}": asdict(trial)})
