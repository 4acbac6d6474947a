"""A task's trainings: which adapters there are, what they gain, and which files nobody needs any more."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfguide_lite.core.paths import files_dir, training_folders
from selfguide_lite.run_files import training_run
from selfguide_lite.store import Adapter, Store, VerdictRow

_CHECKPOINTS = "checkpoint-*"


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """An adapter with what is known of it.

    :param base: name of the model that it is for
    :param verdict: its newest comparison with prompting; None where there is none
    :param current: whether commands take this one where none is named
    """

    adapter: Adapter
    base: str
    verdict: VerdictRow | None
    current: bool

    @property
    def there(self) -> bool:
        """Whether its file is where it should be."""
        return Path(self.adapter.path).is_file()

    @property
    def gain(self) -> str:
        """What it gains over the best prompting, in words."""
        found = self.verdict
        if found is None or found.before is None or found.after is None or found.low is None or found.high is None:
            return "not measured"
        gain = 100 * (found.after - found.before)
        return f"{gain:+.1f} points ({100 * found.low:+.1f} to {100 * found.high:+.1f}) over {found.over}"

    def as_json(self) -> dict[str, Any]:
        """Return it for a program."""
        found, adapter = self.verdict, self.adapter
        return {
            "id": adapter.id,
            "created_at": adapter.created_at,
            "base": self.base,
            "pairs": adapter.pairs,
            "path": adapter.path,
            "there": self.there,
            "current": self.current,
            "gain": None
            if found is None or found.low is None
            else {
                "metric": found.metric,
                "n": found.n,
                "over": found.over,
                "before": found.before,
                "after": found.after,
                "low": found.low,
                "high": found.high,
            },
        }


def adapters_of(store: Store, task_id: int) -> list[AdapterFacts]:
    """Return a task's adapters, the oldest first."""
    latest = store.latest_adapter(task_id)
    return [
        AdapterFacts(
            one,
            store.model_of(one.model_id).name,
            store.latest_verdict(task_id, one.id),
            latest is not None and one.id == latest.id,
        )
        for one in store.adapters(task_id)
    ]


@dataclass(frozen=True, slots=True)
class Leftover:
    """Files that a run made and nothing needs any more.

    :param path: a folder, or the file of an adapter
    :param why: why it is not needed
    :param bytes: on the disk
    """

    path: Path
    why: str
    bytes: int

    def remove(self) -> None:
        """Take it off the disk."""
        if self.path.is_dir():
            shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)


def leftovers(store: Store, task_id: int) -> list[Leftover]:
    """Return what may be removed of a task's trainings: adapters and LoRAs that no evaluation points to, checkpoints.

    What was trained or compared last stays, and so does a training that is not finished, unless another one was since.
    Files outside the database's own folder are left alone. Rows of the database all stay.
    """
    own = files_dir(store.path).resolve()
    latest = store.latest_adapter(task_id)
    since = Path(latest.path).stat().st_mtime if latest is not None and Path(latest.path).is_file() else 0.0
    adapters = store.adapters(task_id)
    kept = {one.run_id for one in adapters if store.evaluated(one.id) or (latest and one.id == latest.id)}
    found: list[Leftover] = []
    for folder in training_folders(store.path, store.task(task_id).name):
        run_id = training_run(folder)
        if run_id is None:
            if folder.stat().st_mtime < since:
                found.append(_leftover(folder, "a training that was not finished, before the last one that was"))
            continue
        if run_id not in kept:
            numbers = [f"adapter {one.id}, " for one in adapters if one.run_id == run_id]
            found.append(_leftover(folder, f"{''.join(numbers)}no evaluation points to it"))
            continue
        found += [_leftover(path, "checkpoint of a finished training") for path in sorted(folder.glob(_CHECKPOINTS))]
    gone = [one.path for one in found]
    for one in adapters:
        path = Path(one.path)
        if one.run_id in kept or not path.is_file() or not path.resolve().is_relative_to(own):
            continue
        if not any(path.is_relative_to(folder) for folder in gone):
            found.append(_leftover(path, f"adapter {one.id}, no evaluation points to it"))
    return found


def _leftover(path: Path, why: str) -> Leftover:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return Leftover(path, why, sum(one.stat().st_size for one in files))
