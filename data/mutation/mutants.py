"""The mutants of a source text: one token changed in each. Knows Python and SQL, and nothing of tests."""

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PYTHON = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "==": "!=",
    "!=": "==",
    "+": "-",
    "-": "+",
    "*": "/",
    "/": "*",
    "//": "/",
    "+=": "-=",
    "and": "or",
    "or": "and",
    "not": "",
    "min": "max",
    "max": "min",
    "True": "False",
    "False": "True",
    "break": "continue",
    "continue": "break",
}
_SQL = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "=": "<>",
    "<>": "=",
    "+": "-",
    "-": "+",
    "*": "/",
    "/": "*",
    "and": "OR",
    "or": "AND",
    "not": "",
    "min": "max",
    "max": "min",
    "sum": "max",
    "count": "max",
    "desc": "ASC",
    "left": "",
    "in": "NOT IN",
    "is": "IS NOT",
    "ifnull": "nullif",
    "row_number": "rank",
}
_SQL_TOKEN = re.compile(
    r"(?P<skip>--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"[^\"]*\"|\s+)"
    r"|(?P<number>\b\d+(?:\.\d+)?\b)|(?P<word>\w+)|(?P<sign><>|<=|>=|\|\||[-+*/<>=]|.)",
    re.DOTALL,
)
_NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One token of a file replaced by another.

    :param path: of the file, from the root of the repository
    :param start: offset of the token in the text, in characters
    :param line: of the token, from 1, `column`: from 1
    """

    path: str
    start: int
    line: int
    column: int
    old: str
    new: str

    def applied(self, source: str) -> str:
        """Return the text with the token replaced."""
        assert source.startswith(self.old, self.start), f"{self.path} has changed"
        return source[: self.start] + self.new + source[self.start + len(self.old) :]

    @property
    def name(self) -> str:
        """Where it is and what it changes, as people read it."""
        return f"{self.path}:{self.line}:{self.column} {self.old} -> {self.new or '(nothing)'}"


def mutants(path: str, source: str) -> list[Mutant]:
    """Return every mutant of a file that is still Python or SQL, in the order of the text."""
    tokens = _python_tokens(source) if Path(path).suffix == ".py" else _sql_tokens(source)
    found = []
    for start, old, new in tokens:
        line = source.count("\n", 0, start) + 1
        mutant = Mutant(path, start, line, start - source.rfind("\n", 0, start), old, new)
        if Path(path).suffix != ".py" or _compiles(mutant.applied(source)):
            found.append(mutant)
    return found


def _python_tokens(source: str) -> Iterator[tuple[int, str, str]]:
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        # how a data class is stored is no behaviour, and neither is `*` alone in a signature
        after = token.line[token.end[1] :].lstrip()
        if token.line.lstrip().startswith("@") or (token.string == "*" and after.startswith(",")):
            continue
        new = _plus_one(token.string) if token.type == tokenize.NUMBER else _PYTHON.get(token.string)
        if new is not None:
            yield lines[token.start[0] - 1] + token.start[1], token.string, new


def _sql_tokens(source: str) -> Iterator[tuple[int, str, str]]:
    for match in _SQL_TOKEN.finditer(source):
        text = match.group()
        if match.lastgroup == "skip":
            continue
        new = _plus_one(text) if match.lastgroup == "number" else _SQL.get(text.lower())
        if new is None or _no_operator(source, match):
            continue
        yield match.start(), text, new


def _no_operator(source: str, match: re.Match[str]) -> bool:
    """Whether a token only looks like an operator: `*` for all columns, the IS of IS NOT, a column called min."""
    before, after = source[: match.start()].rstrip(), source[match.end() :].lstrip()
    text = match.group().lower()
    if text == "*":
        return before.endswith(("(", ".", "SELECT", ","))
    if text == "not":
        return after.startswith("MATERIALIZED")
    if text in ("in", "is"):
        return before.endswith("NOT") or after.startswith("NOT")
    if text == "ifnull" or text in ("min", "max", "sum", "count", "row_number"):
        return not after.startswith("(")
    return text == "left" and not after.startswith("JOIN")


def _plus_one(number: str) -> str | None:
    if not _NUMBER.fullmatch(number):
        return None  # hexadecimal, with an exponent or with underscores
    return f"{float(number) + 1}" if "." in number else f"{int(number) + 1}"


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True
