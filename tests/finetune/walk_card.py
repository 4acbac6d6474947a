"""Trains a tiny model as on a card, in a process of its own: `walk_card.py FOLDER MAJOR MINOR BITS CHECKPOINTING`.

With the folder alone it trains on the processor.
"""

import contextlib
import json
import sys
from pathlib import Path
from typing import cast

from small_training import small_job

from selfguide_lite.core.progress import TrainStep
from selfguide_lite.finetune.options import Bits
from selfguide_lite.finetune.trainers.unsloth import fit


def main() -> None:
    """Train and print the losses."""
    steps: list[TrainStep] = []
    bits, checkpointing, place = 16, False, contextlib.nullcontext()
    if len(sys.argv) > 2:
        from card_stand_in import OnProcessor, put_in_card, put_in_unpacking

        major, minor, bits, checkpointing = (int(word) for word in sys.argv[2:])
        put_in_unpacking()
        put_in_card((major, minor))
        place = OnProcessor()
    with place:
        done = fit(
            small_job(Path(sys.argv[1]), cast(Bits, bits), bool(checkpointing)), steps.append, note=lambda _: None
        )
    print(json.dumps({"losses": [step.loss for step in steps], "device": done.device}))


if __name__ == "__main__":
    main()
