"""Grammars (GBNF) that hold llama.cpp to a task's answers: one of its labels, or an object of its schema.

An object has the one form in which `predict` writes it: no blanks, the keys in the schema's order, the same values.
"""

import json
import string
from collections.abc import Sequence

from selfguide_lite.fields import Field, Schema
from selfguide_lite.task import Task

_PLAIN = frozenset(string.ascii_letters + string.digits + " -_.,:;!?'()/")

_LONGEST = 1000  # characters that are counted; llama.cpp refuses rules that repeat more than 2,000 times
# What all objects are made of. A string does not begin with a blank, and has only these escapes.
_RULES = {
    "char": r'[^"\\\x00-\x1F\x7F] | "\\" ["\\nt]',
    "first": r'[^ "\\\x00-\x1F\x7F] | "\\" ["\\nt]',
    "integer": '"-"? ("0" | [1-9] [0-9]{0,14})',
    "number": 'integer ("." [0-9]{1,6})?',
    "boolean": '"true" | "false"',
    "date": '"\\"" (year "-" day | leap "-02-29") "\\""',
    "year": "[12] [0-9] [0-9] [0-9]",
    "leap": '[12] [0-9] ("0" [48] | [2468] [048] | [13579] [26]) | ("12" | "16" | "20" | "24" | "28") "00"',
    "day": '("01" | "03" | "05" | "07" | "08" | "10" | "12") "-" (upto29 | "30" | "31")'
    ' | ("04" | "06" | "09" | "11") "-" (upto29 | "30") | "02-" upto28',
    "upto28": '"0" [1-9] | "1" [0-9] | "2" [0-8]',
    "upto29": 'upto28 | "29"',
}


def answer_grammar(task: Task, begins: str = "") -> str | None:
    """Return the grammar of a task's answers; None where they are free.

    :param begins: what the chat format writes before an answer
    """
    if task.answer_schema is not None:
        return object_grammar(task.answer_schema, begins)
    return label_grammar(task.labels, begins) if task.rules.labelled else None


def object_grammar(schema: Schema, begins: str = "") -> str:
    """Return a grammar of which a text is an object of a schema.

    A string that may have more than 1,000 characters may have any number of them.

    :param schema: with a largest size for every string and list
    :param begins: what the chat format writes before an answer
    """
    rules: dict[str, str] = {}
    parts = []
    for number, field in enumerate(schema.fields):
        before = ("," if number else begins + "{") + json.dumps(field.name, ensure_ascii=False) + ":"
        rules[f"value{number}"] = _value(field, f"item{number}", rules)
        parts.append(f"{_literal(before)} value{number}")
    lines = [f'root ::= {" ".join(parts)} "}}"']
    return "".join(f"{line}\n" for line in (*lines, *(f"{name} ::= {rule}" for name, rule in (rules | _RULES).items())))


def _value(field: Field, name: str, rules: dict[str, str]) -> str:
    """Return the rule of a field's value.

    :param name: of the rule of its items, which is added where it has one
    """
    match field.type:
        case "string":
            longest = field.max_length or 1
            rules[name] = f'"\\"" first char{"*" if longest > _LONGEST else f"{{0,{longest - 1}}}"} "\\""'
        case "enum":
            rules[name] = " | ".join(_literal(json.dumps(one, ensure_ascii=False)) for one in field.values)
        case _:
            name = field.type
    if field.many:
        most = (field.max_items or 1) - 1
        rules[f"{name}-more"] = f'"," {name}'
        name = f'"[" ({name} {name}-more{{0,{most}}})? "]"'
    return f'{name} | "null"' if field.optional else name


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
