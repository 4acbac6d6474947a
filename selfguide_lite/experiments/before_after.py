"""A task's evaluation set by every method, with and without the adapter: what `evaluate` on the command line does."""

from dataclasses import replace
from pathlib import Path

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.lock import exclusive
from selfguide_lite.evaluate.battery import Measurement, measure
from selfguide_lite.experiments.context import ExperimentContext
from selfguide_lite.run_context import RunContext
from selfguide_lite.run_files import adapter_file, known_adapter
from selfguide_lite.run_options import RunOptions
from selfguide_lite.store import Adapter, Store
from selfguide_lite.task import Task
from selfguide_lite.task.eval_rows import eval_rows


def measured(
    task: Task,
    db: Path,
    *,
    adapter: Path | str | None = None,
    eval_file: Path | None = None,
    options: RunOptions | None = None,
) -> Measurement:
    """Evaluate the plain model by every way of prompting and, where there is one, the adapter.

    :param db: the run's database; made where there is none, once nothing is wrong with the files
    :param adapter: its number in the database, or a GGUF file; None: the database's latest for the task, or none at all
    :param eval_file: evaluation set in place of the task's own
    :raises SelfguideError: where a file is missing or does not fit
    """
    from selfguide_lite.gguf.adapter import check_adapter

    rows = eval_rows(task, eval_file)
    tools = ExperimentContext.of(options)
    if adapter is not None and not str(adapter).isdigit():
        if not Path(adapter).is_file():
            raise SelfguideError(f"{adapter}: no such adapter file; `selfguide run` or `selfguide train` makes one")
        check_adapter(Path(adapter), tools.model)
    with exclusive(db), Store.open(db) as store, tools.opened() as engine:
        task_id = store.add_task(task)
        known = _known(store, task_id, engine.info.sha256, adapter)
        place = adapter_file(store, task_id, adapter) if known is not None or adapter is not None else None
        if place is not None:
            check_adapter(place, tools.model)
        # The halves are the run's own, so that the verdict is too.
        seed = store.seed_of(known.id) if known is not None else None
        context = RunContext(
            store, task_id, task.settings, tools.prompts, tools.seed if seed is None else seed, tools.listener
        )
        return measure(context, engine, rows, _at(known, place))


def _at(known: Adapter | None, place: Path | None) -> Adapter | Path | None:
    """Return the store's adapter as it lies at the given place: a copy is as good."""
    return place if known is None or place is None else replace(known, path=str(place))


def _known(store: Store, task_id: int, model_sha256: str, given: Path | str | None) -> Adapter | None:
    """Return the store's latest adapter for this model; where a file is given, the one that it is."""
    known = known_adapter(store, task_id, given)
    if known is None or given is not None:
        return known
    return known if store.model_sha256(known.model_id) == model_sha256 else None
