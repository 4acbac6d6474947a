"""The main job: the stages in order, each skipped when its work is in the store.

    task -> generate -> annotate -> train -> export -> evaluate prompting and the finetuned model

Everything lies in one database and, beside it, a folder of the files made on the way (checkpoints, the adapter).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError, in_plain_words
from selfguide_lite.core.lock import exclusive
from selfguide_lite.core.progress import FunnelRow, Listener, NullListener
from selfguide_lite.core.renamed import renamed_notes
from selfguide_lite.evaluate import Gain, Measurement, measure
from selfguide_lite.finetune import trainer_named
from selfguide_lite.finetuning import finetune, training_pairs
from selfguide_lite.llm import model_path, open_engine
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Adapter, Store
from selfguide_lite.synthesis import is_synthesized, synthesize
from selfguide_lite.task import Task
from selfguide_lite.task.eval_rows import EvalRow, eval_rows


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run made.

    :param pairs: rows of the dataset that the model was finetuned on
    :param adapter: the GGUF adapter; None where only data was made
    :param gain: over the best prompting; None where there are too few evaluation rows, or none
    :param measurement: all methods on the evaluation rows; None where no model was finetuned
    """

    task: str
    db: Path
    pairs: int
    funnel: tuple[FunnelRow, ...]
    adapter: Path | None = None
    measurement: Measurement | None = field(default=None, repr=False)

    @property
    def gain(self) -> Gain | None:
        """Over the best prompting, paired; None where it was not measured."""
        return self.measurement.gain if self.measurement else None

    @property
    def verdict(self) -> str:
        """What came of the comparison, in a sentence."""
        return self.measurement.verdict.sentence if self.measurement else "Not measured: no model was finetuned"

    def as_json(self) -> dict[str, Any]:
        """Return what `run --json` prints; scores are shares of 1, low and high bound the paired gain."""
        measured = self.measurement
        return {
            "task": self.task,
            "pairs": self.pairs,
            "adapter": None if self.adapter is None else str(self.adapter),
            "gain": None if self.gain is None else asdict(self.gain),
            "methods": measured.means if measured else {},
            **({"macro_f1": measured.macro_f1} if measured and measured.macro_f1 else {}),
            "verdict": self.verdict,
        }


def run(
    task: Task,
    store_path: Path | str,
    *,
    model: Path | str | None = None,
    server: str | None = None,
    server_model: str | None = None,
    settings: Mapping[str, Any] | None = None,
    prompts: Prompts | None = None,
    seed: int = 42,
    listener: Listener | None = None,
    **engine_options: Any,
) -> RunResult:
    """Do the whole job for a task, or what is left of it.

    :param store_path: the run's database, made where there is none
    :param model: GGUF file; None: `$SELFGUIDE_MODEL`, else the default model
    :param server: base URL of an OpenAI-compatible server that writes the data in the model's place. Without `model`
        the job ends with the dataset, since only a file can be finetuned
    :param settings: fields of `Settings` to change for this call, over those of the task
    :param seed: fixes prompts, samples and the order of training
    :param engine_options: further arguments of `open_engine`, such as `n_ctx`
    :raises SelfguideError: where something is wrong that the user can mend, in one line
    """
    listener = listener or NullListener()
    prompts = prompts or Prompts()
    db = Path(store_path)
    model = None if model is None else Path(model)
    for line in renamed_notes(settings or {}):
        listener.note(line)
    task = task.model_copy(update={"settings": task.settings.changed(settings or {})})
    wanted = task.rules.resolve(task.settings)
    # What can be wrong is looked at before anything is made, and before hours of work.
    rows = eval_rows(task) if task.eval is not None else []
    local = None if server is not None and model is None else model_path(model)
    with _plainly(), exclusive(db):
        if local is not None:
            try:
                trainer_named(wanted.trainer).check()
            except SelfguideError as error:
                listener.note(f"only the dataset can be made here: {error}")
        with Store.open(db) as store:
            task_id = store.add_task(task)
            context = RunContext(store, task_id, wanted, prompts, seed, listener)
            if is_synthesized(store, task_id, wanted):
                listener.done("generate", f"{len(store.requests_done(task_id))} inputs were in the store")
                listener.done("annotate", "their answers were in the store")
            else:
                with open_engine(local, server=server, server_model=server_model, **engine_options) as engine:
                    synthesize(context, engine)
            funnel = tuple(store.funnel(task_id))
            listener.funnel(funnel)
            pairs = len(store.pairs(task_id))
            if not pairs:
                raise SelfguideError(nothing_left(task, funnel))
            for line in label_notes(store, task_id, task):
                listener.note(line)
            if local is None:
                listener.note("the dataset is ready; name the same model's GGUF file with -m to finetune it")
                return RunResult(task.name, db, pairs, funnel)
            adapter = finetune(context, local)
            measured = _measured(context, rows, local, adapter, engine_options)
            return RunResult(task.name, db, pairs, funnel, Path(adapter.path), measured)


def _measured(
    context: RunContext, rows: Sequence[EvalRow], model: Path, adapter: Adapter, engine_options: Mapping[str, Any]
) -> Measurement:
    """Compare what was finetuned with prompting; one load of the model serves both. Without rows none is loaded."""

    trained = [pair.input for pair in training_pairs(context.store, context.task_id)]
    with open_engine(model, **engine_options) if rows else nullcontext() as engine:
        return measure(context, engine, rows, adapter, trained)


def label_notes(store: Store, task_id: int, task: Task) -> list[str]:
    """Say what a classification task's data assume and how far labels asked for and answered go together."""
    agreement = store.agreement(task_id) if task.rules.labelled else None
    if agreement is None:
        return []
    notes = []
    if not task.label_shares:
        notes.append("all labels are taken to be equally frequent; label_shares in the task file says otherwise")
    if not agreement.asked:
        return notes
    advice = (
        ". That is no more than chance; the comparison at the end tells whether the pairs teach something all the "
        "same. What would help: what each label means (labels in the task file), more examples, --set "
        "agreement_filter=false, a larger model"
    )
    notes.append(agreement.sentence + ("" if agreement.beyond_chance else advice))
    return notes


def nothing_left(task: Task, funnel: Sequence[FunnelRow]) -> str:
    """Say in one line where all texts were lost, and what may help against the commonest reason."""
    lost = Counter({(row.stage, row.reason): row.n for row in funnel if row.reason not in _NO_LOSS and row.n})
    if not lost:
        return f"task {task.name}: nothing was written; is --set rounds large enough?"
    reasons = ", ".join(f"{n} {stage}s lost to {reason}" for (stage, reason), n in lost.most_common(4))
    reason = max(lost, key=lambda at: lost[at])[1]
    advice = _ADVICE.get(reason, "more varied examples, a larger model, or more rounds")
    return f"task {task.name}: no pair survived the filters ({reasons}). What may help: {advice}"


_NO_LOSS = ("kept", "unanswered", "no valid answer")  # the last two only repeat what the outputs' reasons say
_ADVICE = {
    "empty": "a model in the chat format of its GGUF file; `selfguide doctor` shows it",
    "noise": "remove noise terms that your texts need (noise_terms in the task file), or a larger model",
    "length": "examples of more varied lengths, --set length_factor=5, or --set input_length_filter=false",
    "echo": "more examples, or a higher --set input_temperature",
    "duplicate": "a higher --set input_temperature, or more examples",
    "label": "clearer labels, --set method=score, or a larger model",
    "label_named": "examples that name the labels too, or --set label_named_filter=false",
    "share": "a lower --set min_vote_share, or a larger model",
    "disagreement": "what each label means (labels in the task file), --set agreement_filter=false, or a larger model",
    "confidence": "a lower --set min_confidence, or a larger model",
}


@contextmanager
def _plainly() -> Iterator[None]:
    """Turn failures of the disk, the database and the memory into one clear line."""
    try:
        yield
    except SelfguideError:
        raise
    except Exception as error:
        words = in_plain_words(error)
        if words is None:
            raise
        raise SelfguideError(words) from error
