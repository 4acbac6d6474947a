"""The two stages in which a model writes its own training data: new inputs, and answers to them."""

from selfguide_lite.synthesis.annotate import annotate
from selfguide_lite.synthesis.generate import generate

__all__ = ["annotate", "generate"]
