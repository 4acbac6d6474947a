"""Renders the parts of Go's template language that our Modelfiles use, as Ollama would: to check what was written.

Knows `range` with two variables, `if`, `else if`, `else`, assignment, `eq`, `and`, `len`, `slice`, strings, numbers and
trimmed white space. Anything else is refused.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfguide_lite.core.text import neutral

_ACTION = re.compile(r"\{\{(- )?(.*?)( -)?\}\}", re.DOTALL)
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|:=|=|[(),]|[^\s(),"=:]+)')
_ESCAPE = re.compile(r'\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[nrt"\\])')
_NAMED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


@dataclass(slots=True)
class _Node:
    """A text, an output, an assignment, a choice or a loop.

    :param branches: of a choice: each one's condition (None: else) and what it renders
    """

    kind: str
    tokens: list[str] = field(default_factory=list)
    text: str = ""
    branches: list[tuple[list[str] | None, list["_Node"]]] = field(default_factory=list)


def render(template: str, data: Mapping[str, Any]) -> str:
    """Render a template.

    :param data: the names that stand behind a dot, such as `Messages`
    :raises ValueError: for what this renderer does not know
    """
    nodes, rest = _parsed(_pieces(template))
    if rest:
        raise ValueError(f"a template ends too early, before {rest[0]!r}")
    out: list[str] = []
    _run(nodes, data, {"$": data}, out)
    return "".join(out)


def _pieces(template: str) -> list[tuple[str, str]]:
    """Return texts and actions in turn, white space trimmed where an action says so."""
    found: list[tuple[str, str]] = []
    start, trim = 0, False
    for match in _ACTION.finditer(template):
        text = template[start : match.start()]
        text = text.lstrip(" \t\r\n") if trim else text
        found.append(("text", text.rstrip(" \t\r\n") if match[1] else text))
        found.append(("action", match[2].strip()))
        start, trim = match.end(), bool(match[3])
    last = template[start:]
    return [*found, ("text", last.lstrip(" \t\r\n") if trim else last)]


def _parsed(pieces: list[tuple[str, str]]) -> tuple[list[_Node], list[tuple[str, str]]]:
    """Return the nodes up to an `else` or `end`, and what is left."""
    nodes: list[_Node] = []
    while pieces:
        sort, text = pieces[0]
        if sort == "action" and text.split(maxsplit=1)[0] in ("else", "end"):
            return nodes, pieces
        pieces = pieces[1:]
        if sort == "text":
            nodes.append(_Node("text", text=text))
            continue
        tokens = _tokens(text)
        if tokens[0] == "range":
            body, pieces = _parsed(pieces)
            pieces = _closed(pieces)
            nodes.append(_Node("range", tokens[1:], branches=[(None, body)]))
        elif tokens[0] == "if":
            node, pieces = _choice(tokens[1:], pieces)
            nodes.append(node)
        elif len(tokens) > 2 and tokens[1] in (":=", "="):
            nodes.append(_Node("assign", [tokens[0], *tokens[2:]]))
        else:
            nodes.append(_Node("output", tokens))
    return nodes, pieces


def _choice(condition: list[str], pieces: list[tuple[str, str]]) -> tuple[_Node, list[tuple[str, str]]]:
    node = _Node("if")
    wanted: list[str] | None = condition
    while True:
        body, pieces = _parsed(pieces)
        node.branches.append((wanted, body))
        if not pieces:
            raise ValueError("a template has an `if` without an `end`")
        tokens = _tokens(pieces[0][1])
        if tokens == ["end"]:
            return node, pieces[1:]
        pieces = pieces[1:]
        wanted = tokens[2:] if tokens[1:2] == ["if"] else None


def _closed(pieces: list[tuple[str, str]]) -> list[tuple[str, str]]:
    if not pieces or pieces[0][1] != "end":
        raise ValueError("a template has a `range` without an `end`")
    return pieces[1:]


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    start = 0
    while match := _TOKEN.match(text, start):
        found.append(match[1])
        start = match.end()
    if not found or text[start:].strip():
        raise ValueError(f"a template says {text!r}, which is not known here")
    return found


def _run(nodes: Sequence[_Node], dot: Any, names: dict[str, Any], out: list[str]) -> None:
    for node in nodes:
        if node.kind == "text":
            out.append(node.text)
        elif node.kind == "output":
            out.append(str(_value(node.tokens, dot, names)))
        elif node.kind == "assign":
            names[node.tokens[0]] = _value(node.tokens[1:], dot, names)
        elif node.kind == "if":
            for condition, body in node.branches:
                if condition is None or _value(condition, dot, names):
                    _run(body, dot, names, out)
                    break
        else:
            index, _, item, _ = node.tokens[:4]
            for number, one in enumerate(_value(node.tokens[4:], dot, names)):
                names[index], names[item] = number, one
                _run(node.branches[0][1], one, names, out)


def _value(tokens: list[str], dot: Any, names: Mapping[str, Any]) -> Any:
    """Work out a call, such as `eq (len (slice $.Messages $i)) 1`, or a single term."""
    values: list[Any] = []
    call = tokens[0] if tokens[0] in ("eq", "and", "len", "slice") else None
    rest = tokens[1:] if call else tokens
    while rest:
        if rest[0] == "(":
            depth, end = 1, 0
            while depth:
                end += 1
                depth += (rest[end] == "(") - (rest[end] == ")")
            values.append(_value(rest[1:end], dot, names))
            rest = rest[end + 1 :]
        else:
            values.append(_term(rest[0], dot, names))
            rest = rest[1:]
    if call is None:
        if len(values) != 1:
            raise ValueError(f"a template says {' '.join(tokens)!r}, which is not known here")
        return values[0]
    if call == "eq":
        return values[0] == values[1]
    if call == "and":
        return all(values)
    return len(values[0]) if call == "len" else values[0][values[1] :]


def _term(token: str, dot: Any, names: Mapping[str, Any]) -> Any:
    if token.startswith('"'):
        return _ESCAPE.sub(_escaped, token[1:-1])
    if token.isdigit():
        return int(token)
    start, *parts = token.split(".")
    if start and start not in names:
        raise ValueError(f"a template says {json.dumps(token)}, which is not known here")
    found = names[start] if start else dot
    for part in parts:
        found = found[part]
    return found


def _escaped(match: "re.Match[str]") -> str:
    what = match[1]
    return _NAMED.get(what) or chr(int(what[1:], 16))


_GO = {"\\": "\\\\", '"': "\\x22", "\n": "\\n", "\r": "\\r", "\t": "\\t", "{": "\\x7b", "}": "\\x7d"}


def go_string(text: str) -> str:
    """Return an action that writes a text: a string constant, which nothing around it can trim or misread.

    Empty for no text. What a terminal would obey is written by its number.
    """
    if not text:
        return ""
    return '{{ "' + "".join(_GO.get(one) or (one if neutral(one) == one else _number(one)) for one in text) + '" }}'


def _number(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
