"""Answers other programs over HTTP: OpenAI's chat endpoint with the task's prompt built in, and POST /predict.

Requests of several clients go through the engine together.
"""

from selfguide_lite.serve.server import ServeOptions, check_installed, serve

__all__ = ["ServeOptions", "check_installed", "serve"]
