"""A task's evaluation set with and without an adapter: what `evaluate` on the command line does."""

from pathlib import Path

from selfguide_lite.errors import SelfguideError
from selfguide_lite.evaluate.evaluation import Evaluation
from selfguide_lite.evaluate.methods import FEW_SHOT, SELFGUIDE
from selfguide_lite.evaluate.rows import eval_rows
from selfguide_lite.evaluate.tools import Tools
from selfguide_lite.lock import exclusive
from selfguide_lite.progress import Listener
from selfguide_lite.prompts import Prompts
from selfguide_lite.store import Adapter, Store
from selfguide_lite.task import Task


def before_and_after(
    task: Task,
    db: Path,
    model: Path | None = None,
    *,
    adapter: Path | None = None,
    eval_file: Path | None = None,
    prompts: Prompts | None = None,
    listener: Listener | None = None,
) -> tuple[Evaluation, Evaluation | None]:
    """Evaluate the plain model and, where there is one, the adapter.

    :param db: the run's database; made where there is none, once nothing is wrong with the files
    :param adapter: GGUF file; None: the database's latest for the task, or none at all
    :param eval_file: evaluation set in place of the task's own
    :return: (before, after); after is None without an adapter
    :raises SelfguideError: where a file is missing or does not fit
    """
    from selfguide_lite.gguf.adapter import check_adapter

    rows = eval_rows(task, eval_file)
    tools = Tools.of(model, None, prompts, 0, listener, {})  # greedy answers need no seed
    if adapter is not None:
        if not adapter.is_file():
            raise SelfguideError(f"{adapter}: no such adapter file; `selfguide run` or `selfguide export` makes one")
        check_adapter(adapter, tools.model)
    with exclusive(db), Store.open(db) as store, tools.opened() as engine:
        task_id = store.add_task(task)
        before = tools.score(store, task_id, engine, rows, FEW_SHOT)
        known = _known(store, task_id, engine.info.sha256, adapter)
        place = adapter or (Path(known.path) if known else None)
        if place is None:
            return before, None
        if not place.is_file():
            raise SelfguideError(
                f"{place}: the run's adapter is gone; make it again with `selfguide export`, or use -a"
            )
        check_adapter(place, tools.model)
        engine.set_adapter(place)
        after = tools.score(store, task_id, engine, rows, SELFGUIDE, adapter_id=known.id if known else None)
        return before, after


def _known(store: Store, task_id: int, model_sha256: str, given: Path | None) -> Adapter | None:
    """Return the store's latest adapter for this model; where a file is given, only if it is that one."""
    from selfguide_lite.llm.hashing import file_sha256

    latest = store.latest_adapter(task_id)
    if latest is None:
        return None
    if given is not None:
        return latest if file_sha256(given) == latest.sha256 else None
    made_for = store.connection.execute("SELECT sha256 FROM model WHERE id = ?", (latest.model_id,)).fetchone()
    return latest if made_for and made_for[0] == model_sha256 else None
