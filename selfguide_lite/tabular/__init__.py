"""Tables as people have them: JSONL, CSV, Parquet, a sheet of Excel, a folder of `datasets`, lines of text.

Rows are read one after another. A mistake names file, row and column. Knows nothing of tasks and stores.
"""

from selfguide_lite.tabular.base import INPUT_COLUMNS, OUTPUT_COLUMNS, Row, Table
from selfguide_lite.tabular.reading import FORMATS, Format, read_lines, read_table

__all__ = ["FORMATS", "INPUT_COLUMNS", "OUTPUT_COLUMNS", "Format", "Row", "Table", "read_lines", "read_table"]
