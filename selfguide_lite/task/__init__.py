"""A task: what the user wants, in one instruction and a few examples. Knows nothing of models, prompts or stores."""

from selfguide_lite.core.matching import fold, has_noise, last_label
from selfguide_lite.task.model import Example, NoiseTerm, OwnInputs, OwnRows, Task, Text
from selfguide_lite.task.noise import NOISE_TERMS, PAPER_NOISE_TERMS, effective_noise_terms
from selfguide_lite.task.reading import Problem, load_task, read_task

__all__ = [
    "NOISE_TERMS", "PAPER_NOISE_TERMS", "Example", "NoiseTerm", "OwnInputs", "OwnRows", "Problem", "Task", "Text",
    "effective_noise_terms", "fold", "has_noise", "last_label", "load_task", "read_task",
]  # fmt: skip
