"""A finetuned model on its way out: one folder for one program, replayed before it is said to be done.

adapter -> the target's files -> weights in the target's form -> replay -> card
"""

from selfguide_lite.exporting.choice import AUTO, ExportOptions
from selfguide_lite.exporting.writing import Exported, export

__all__ = ["AUTO", "ExportOptions", "Exported", "export"]
