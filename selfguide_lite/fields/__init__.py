"""The fields of a structured answer: their types, how a schema is written, values read, written and compared.

Knows nothing of tasks, models or stores.
"""

from selfguide_lite.fields.grounding import is_in, judged, judged_values, says_all
from selfguide_lite.fields.model import Field, Schema, sized
from selfguide_lite.fields.reading import read_schema
from selfguide_lite.fields.scoring import FieldCount, counts, f1
from selfguide_lite.fields.values import absent_values, checked, found_object, object_text, parsed, values_of

__all__ = [
    "Field", "FieldCount", "Schema", "absent_values", "checked", "counts", "f1", "found_object", "is_in",
    "judged", "judged_values", "object_text", "parsed", "read_schema", "says_all", "sized", "values_of",
]  # fmt: skip
