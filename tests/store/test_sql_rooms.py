"""All SQL of the program stands in `selfguide_lite/store/`; only what a user writes comes from elsewhere."""

import ast
import re
from pathlib import Path

import selfguide_lite

PACKAGE = Path(selfguide_lite.__file__).parent
SQL = re.compile(
    r"\s*(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+.*\sAS\s|CREATE\s|DROP\s|ALTER\s"
    r"|PRAGMA\s|SAVEPOINT\s|BEGIN\b|COMMIT\b|ROLLBACK\b)",
    re.DOTALL,
)


def sql_in(source: str) -> list[int]:
    """Return the lines that pass SQL to SQLite or hold a text that begins as SQL does."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("execute", "executemany", "executescript"):
                found.append(node.lineno)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value):
            found.append(node.lineno)
    return sorted(set(found))


def test_no_sql_outside_the_store() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if "store" not in path.relative_to(PACKAGE).parts[:-1]
        for line in sql_in(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_the_search_finds_sql() -> None:
    assert sql_in('rows = store.connection.execute("SELECT 1")') == [1]
    assert sql_in("connection.executemany(statement, rows)") == [1]
    assert sql_in('text = "WITH t AS (SELECT 1) SELECT * FROM t"\nstatement = f"DELETE FROM {t}"') == [1, 2]
    assert sql_in('help = "Select rows with SQL, such as `SELECT 1`."') == []
