"""The checkpoints in a training's folder: `checkpoint-STEP`, each a folder that the trainer writes."""

import json
import shutil
from pathlib import Path

from selfguide_lite.finetune.launch import is_main_process

PREFIX = "checkpoint-"


def last_checkpoint(out: Path) -> Path | None:
    """Return the newest checkpoint that was written to its end, removing those that were not."""
    found = sorted(
        (path for path in out.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdigit()),
        key=lambda path: int(path.name.removeprefix(PREFIX)),
    )
    for path in reversed(found):
        try:  # the trainer writes this file last
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            if is_main_process():
                shutil.rmtree(path, ignore_errors=True)
        else:
            return path
    return None


def checkpoint_step(out: Path) -> int:
    """Return the step from which a training in this folder would go on, 0 for a fresh start."""
    return step_of(last_checkpoint(out))


def step_of(checkpoint: Path | None) -> int:
    """Return the step of a checkpoint, 0 for none."""
    return int(checkpoint.name.removeprefix(PREFIX)) if checkpoint else 0
