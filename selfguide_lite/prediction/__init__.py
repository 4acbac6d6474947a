"""Answers with the method that won: one input, a stream, a file; from the command line, a server or Python."""

from selfguide_lite.prediction.answers import Answer, Way, answer_all, choose_way
from selfguide_lite.prediction.predictor import Choice, PredictOptions, Predictor, load, predict

__all__ = ["Answer", "Choice", "PredictOptions", "Predictor", "Way", "answer_all", "choose_way", "load", "predict"]
