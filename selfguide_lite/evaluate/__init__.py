"""Is it better, than what, and by how much: metrics, compared methods, the search for settings."""

from selfguide_lite.evaluate.battery import Measurement, measure
from selfguide_lite.evaluate.evaluation import Change, Evaluation, changes, confusion, evaluate
from selfguide_lite.evaluate.statistics import Gain, Interval, bootstrap, paired_gain
from selfguide_lite.evaluate.verdict import Verdict
from selfguide_lite.metrics import exact_match, macro_f1, rouge_l
from selfguide_lite.task.eval_rows import EvalRow, eval_rows, load_eval

__all__ = [
    "Change",
    "EvalRow",
    "Evaluation",
    "Gain",
    "Interval",
    "Measurement",
    "Verdict",
    "bootstrap",
    "changes",
    "confusion",
    "eval_rows",
    "evaluate",
    "exact_match",
    "load_eval",
    "macro_f1",
    "measure",
    "paired_gain",
    "rouge_l",
]
