"""selfguide-lite: from one instruction and three examples to a model that is good at that task."""

__version__ = "0.1.0"
