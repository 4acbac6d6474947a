"""Records a stage's run in the store: what made its texts, and how it ended."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from selfguide_lite.llm.base import Engine
from selfguide_lite.prompts import PromptTemplate
from selfguide_lite.run_context import RunContext


@dataclass(slots=True)
class OpenRun:
    """A run that is going on.

    :param reason: what it will be said to have ended with
    """

    id: int
    reason: str = "done"


@contextmanager
def recorded_run(context: RunContext, stage: str, engine: Engine, template: PromptTemplate | None) -> Iterator[OpenRun]:
    """Open a run in the store and close it with the reason for its end, also when an error ends it.

    A process that is killed leaves the run open; what it committed is kept. The listener is told where
    another model wrote the texts so far: a model learns from its own texts.
    """
    store, task_id = context.store, context.task_id
    model_id = store.add_model(engine.info)
    others = store.other_writers(task_id, model_id)
    if others:
        names = ", ".join(others)
        context.listener.note(
            f"{names} wrote texts of this database, now {engine.info.name} goes on; -d starts another"
        )
    run = OpenRun(store.start_run(task_id, stage, model_id, context.settings, context.seed, template))
    try:
        yield run
    except KeyboardInterrupt:
        run.reason = "interrupted"
        raise
    except BaseException as error:
        run.reason = f"error: {error}"
        raise
    finally:
        store.finish_run(run.id, run.reason)
