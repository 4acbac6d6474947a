"""A training's LoRA becomes a GGUF adapter for its model."""

from pathlib import Path
from typing import Protocol

from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.progress import Listener, NullListener
from selfguide_lite.gguf.adapter import write_adapter
from selfguide_lite.store import Adapter, Store


class Trained(Protocol):
    """What must be known of a training: the folder of its LoRA, its run in the store, how many pairs it learnt."""

    @property
    def folder(self) -> Path: ...
    @property
    def run_id(self) -> int: ...
    @property
    def examples(self) -> int: ...


def export_adapter(
    store: Store,
    task_id: int,
    trained: Trained,
    model: Path,
    out: Path | None = None,
    listener: Listener | None = None,
) -> Adapter:
    """Write a training's LoRA as a GGUF adapter for its model; skipped where that file is there already.

    :param out: the adapter's file, written whole or not at all; None: in the training's folder
    """
    listener = listener or NullListener()
    known = store.adapter_of_run(trained.run_id)
    if known is not None:
        path = Path(known.path)
        if out in (None, path) and path.is_file() and file_sha256(path) == known.sha256:
            listener.done("export", f"{path} was there")
            return known
    listener.start("export", 1)
    out = out or trained.folder / "adapter.gguf"
    write_adapter(trained.folder, model, out)
    facts = {"pairs": trained.examples}
    store.add_adapter(task_id, trained.run_id, store.trained_model(trained.run_id), out, file_sha256(out), facts)
    made = store.adapter_of_run(trained.run_id)
    assert made is not None
    listener.done("export", str(out))
    return made
