"""Messages, docstrings and documents are in modern plain English: no old-fashioned turns."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TURNS = (
    "albeit",
    "amongst",
    "barren",
    "came to nothing",
    "comes to nothing",
    "for ever",
    "forthwith",
    "hence",
    "henceforth",
    "hereby",
    "hitherto",
    "in vain",
    "is told of",
    "lest",
    "nothing stands here",
    "nought",
    "save for",
    "seldom",
    "shall",
    "thence",
    "thereby",
    "therein",
    "thereof",
    "thrice",
    "thus",
    "to be had",
    "told of",
    "took no more",
    "twain",
    "unto",
    "upon",
    "very model",
    "whence",
    "whereby",
    "wherein",
    "whilst",
)
FOUND = re.compile(rf"\b({'|'.join(map(re.escape, TURNS))})\b", re.IGNORECASE)
# A reader of these has no other language to ask for: what people read, and what they find in the code.
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
CODE = sorted((ROOT / "selfguide_lite").rglob("*.py"))
VIEWS = sorted((ROOT / "selfguide_lite").rglob("*.sql"))


def strings(source: str) -> Iterator[tuple[int, str]]:
    """Every text of a module, docstrings too; comments by their lines."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for number, line in enumerate(source.splitlines(), 1):
        if line.lstrip().startswith("#"):
            yield number, line


def turns(text: str) -> list[str]:
    return [match.lower() for match in FOUND.findall(" ".join(text.split()))]


def test_pages_and_views() -> None:
    found = {path.name: turns(path.read_text(encoding="utf-8")) for path in (*PAGES, *VIEWS)}
    assert {name: there for name, there in found.items() if there} == {}


def test_messages_docstrings_and_comments() -> None:
    found = [
        (str(path.relative_to(ROOT)), line, turn)
        for path in CODE
        for line, text in strings(path.read_text(encoding="utf-8"))
        for turn in turns(text)
    ]
    assert found == []


def test_a_turn_is_found_over_the_end_of_a_line() -> None:
    assert turns("None is to be\n    had, lest it fail") == ["to be had", "lest"]
    assert turns("the latest, a marshall") == []
    assert list(strings('"""One."""\nraise E(f"two {x}")\n# three\n')) == [(1, "One."), (2, "two "), (3, "# three")]
