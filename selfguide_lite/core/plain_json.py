"""JSON as it is printed and written: texts as they are, but for what a terminal would obey, which is escaped.

JSON itself escapes the control codes below U+0020 only.
"""

import json
import re
from typing import Any

# DEL and the C1 codes, direction marks and overrides, line separators, the byte order mark, lone surrogates.
_OBEYED = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def plain_json(value: Any, *, allow_nan: bool = True) -> str:
    """Return a value as JSON that any terminal, file and program can take; it reads back the very same.

    :raises ValueError: where a number is not finite and `allow_nan` is off
    """
    return escaped(json.dumps(value, ensure_ascii=False, allow_nan=allow_nan))


def escaped(text: str) -> str:
    """Return a text with what a terminal would obey written as the escapes of JSON and of quoted YAML."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
