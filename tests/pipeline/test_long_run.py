"""A long run on the smallest llama there can be: memory, open files and the database's growth per row stay flat.

`make test` writes 1,000 inputs and answers each 10 times, `make long` (SELFGUIDE_LONG_INPUTS=10000) ten times as many.
"""

import os
from pathlib import Path

import pytest
from long_runs import check_flat, long_run, table

pytestmark = pytest.mark.slow

INPUTS = int(os.environ.get("SELFGUIDE_LONG_INPUTS", "1000"))
SAMPLES = 10


@pytest.mark.timeout(7200)
def test_memory_files_and_growth_stay_flat(tmp_path: Path) -> None:
    found = long_run(tmp_path, INPUTS, SAMPLES)
    print(table(found))
    assert found[-1].rows > 0.9 * INPUTS * (1 + SAMPLES)
    check_flat(found, INPUTS)
