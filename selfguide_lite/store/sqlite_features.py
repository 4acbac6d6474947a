"""Which features that the views need the SQLite of this Python lacks."""

import sqlite3
from contextlib import closing

_PROBES = {
    "window functions": "SELECT row_number() OVER ()",
    "JSON": "SELECT json_extract('{\"a\": 1}', '$.a')",
    "generated columns": "CREATE TABLE t (a, b GENERATED ALWAYS AS (a) STORED)",
    "materialized queries": "WITH t AS MATERIALIZED (SELECT 1) SELECT * FROM t",
}


def missing_features() -> list[str]:
    """Return the names of the features that are missing; empty where all are there."""
    missing = []
    with closing(sqlite3.connect(":memory:")) as connection:
        for feature, sql in _PROBES.items():
            try:
                connection.execute(sql)
            except sqlite3.Error:
                missing.append(feature)
    return missing
