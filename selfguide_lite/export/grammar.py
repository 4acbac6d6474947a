"""A grammar (GBNF) that lets llama.cpp write one of a task's labels and nothing else."""

import string
from collections.abc import Sequence

_PLAIN = frozenset(string.ascii_letters + string.digits + " -_.,:;!?'()/")


def label_grammar(labels: Sequence[str], begins: str = "") -> str:
    """Return a grammar of which a text is one of the labels.

    :param begins: what the chat format writes before an answer
    """
    choices = " | ".join(_literal(label) for label in labels)
    return f"root ::= {f'{_literal(begins)} ' if begins else ''}({choices})\n"


def _literal(text: str) -> str:
    """Return a text between quotes; what is no plain character is written by its number."""
    inner = "".join(one if one in _PLAIN else _number(one) for one in text)
    return f'"{inner}"'


def _number(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02X}" if code < 0x80 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
