"""A long run on the smallest llama there can be: memory, open files and the database's growth per row stay flat.

`make test` writes 1,000 inputs and answers each 10 times, `make long` (SELFGUIDE_LONG_INPUTS=10000) ten times as many.
"""

import os
from pathlib import Path

import pytest
from long_runs import long_run, table

pytestmark = pytest.mark.slow

INPUTS = int(os.environ.get("SELFGUIDE_LONG_INPUTS", "1000"))
SAMPLES = 10
# After the first tenth of a stage memory may grow by this much: what is kept of each input is a few hundred bytes.
_SLACK = 8 * 2**20
_PER_INPUT = 1024


@pytest.mark.timeout(7200)
def test_memory_files_and_growth_stay_flat(tmp_path: Path) -> None:
    found = long_run(tmp_path, INPUTS, SAMPLES)
    print(table(found))
    assert found[-1].rows > 0.9 * INPUTS * (1 + SAMPLES)
    for stage in ("generate", "annotate"):
        tenths = [one for one in found if one.stage == stage]
        assert len(tenths) >= 10
        first, last = tenths[0], tenths[-1]
        assert max(one.rss for one in tenths) - first.rss < _SLACK + _PER_INPUT * INPUTS, table(found)
        assert max(one.files for one in tenths) == first.files, table(found)
        # pages and indexes grow in steps: halves are compared, not tenths
        middle = tenths[len(tenths) // 2]
        early = (middle.size - first.size) / (middle.rows - first.rows)
        late = (last.size - middle.size) / (last.rows - middle.rows)
        assert 0.75 * early < late < 1.25 * early, table(found)
