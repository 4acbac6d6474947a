"""What was found on this machine of models' working copies."""

from dataclasses import asdict, dataclass

from selfguide_lite.core.cache import read_json, write_json

_CACHE = "copies.json"
_LEAST_GAIN = 1.05
_MOST_DIFFERENT = 0.2  # of a label's share: more is another model. Another order of requests alone moves it by 0.05.


@dataclass(frozen=True, slots=True)
class Trial:
    """What a copy was found to be.

    :param name: file name of the original
    :param machine: processor, cores and llama.cpp that it was found with
    :param faster: how many times as fast as the original it does a stage's typical mixture
    :param difference: the largest difference of a label's share between the two, over a few short texts
    """

    name: str
    machine: str
    faster: float
    difference: float

    @property
    def worth_it(self) -> bool:
        """Whether the copy is faster and says the same."""
        return self.faster >= _LEAST_GAIN and self.difference <= _MOST_DIFFERENT

    def __str__(self) -> str:
        return f"{self.faster:.2f} times as fast as {self.name}, label shares up to {self.difference:.3f} apart"


def kept_trial(sha256: str) -> Trial | None:
    """Return what was found of a model's copy; None where none was tried.

    :param sha256: the original's
    """
    try:
        return Trial(**read_json(_CACHE)[sha256])
    except (KeyError, TypeError):
        return None


def keep_trial(sha256: str, trial: Trial) -> None:
    """Write down what was found of a model's copy."""
    write_json(_CACHE, {**read_json(_CACHE), sha256: asdict(trial)})
