"""The ways of asking a model: their names, their prompts, and how label scores are calibrated."""
