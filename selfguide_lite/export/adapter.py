"""A training's LoRA becomes a GGUF adapter for its model."""

from pathlib import Path
from typing import Protocol

from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.progress import Listener, NullListener
from selfguide_lite.gguf.adapter import write_adapter
from selfguide_lite.store import Adapter, Store


class Trained(Protocol):
    """What must be known of a training: the folder of its LoRA, and its run in the store."""

    @property
    def folder(self) -> Path: ...
    @property
    def run_id(self) -> int: ...


def export_adapter(
    store: Store, task_id: int, trained: Trained, model: Path, out: Path, listener: Listener | None = None
) -> Adapter:
    """Write a training's LoRA as a GGUF adapter for its model; skipped where that file is there already.

    :param out: the adapter's file, written whole or not at all
    """
    listener = listener or NullListener()
    latest = store.latest_adapter(task_id)
    if latest is not None and latest.run_id == trained.run_id:
        path = Path(latest.path)
        if path == out and path.is_file() and file_sha256(path) == latest.sha256:
            listener.done("export", f"{path} was there")
            return latest
    listener.start("export", 1)
    write_adapter(trained.folder, model, out)
    store.add_adapter(task_id, trained.run_id, store.trained_model(trained.run_id), out, file_sha256(out))
    made = store.latest_adapter(task_id)
    assert made is not None
    listener.done("export", str(out))
    return made
