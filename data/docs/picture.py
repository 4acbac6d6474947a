"""Runs a demo task with the default model and keeps the last frame of its display as the README's picture.

python -m data.docs.picture film-opinions data/docs/run.svg
"""

import contextlib
import io
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from selfguide_lite import RunOptions, load_task, run
from selfguide_lite.core.resources import resource
from selfguide_lite.experiments.tables import methods_text
from selfguide_lite.report.progress import RUN_STAGES, LiveDisplay

_WIDTH = 96


def draw(task_name: str, out: Path) -> None:
    """Do the whole job for a demo task and write what its terminal shows at the end as SVG.

    :param task_name: of a file in `data/tasks`
    :param out: the SVG file
    """
    task = load_task(resource(f"data/tasks/{task_name}.yaml"))
    display = LiveDisplay(Console(stderr=True), RUN_STAGES)
    out = out.resolve()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), display:  # its path is not for the picture
        result = run(task, f"{task_name}.db", RunOptions(listener=display))
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text(f"$ selfguide run data/tasks/{task_name}.yaml", style="bold"))
    console.print(display)
    if result.measurement:
        console.print()
        console.print(Text(methods_text(result.measurement)))
    # The style's web font would be fetched when the picture is opened: a local one does.
    picture = console.export_svg(title="selfguide", unique_id="run")
    start, end = picture.find("@font-face"), picture.rfind("@font-face")
    if start >= 0:
        picture = picture[:start] + picture[picture.index("}", end) + 1 :]
    out.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    draw(sys.argv[1], Path(sys.argv[2]))
