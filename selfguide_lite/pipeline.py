"""The main job: the stages in order, each skipped when its work is in the store.

    task -> generate -> annotate -> train -> export -> evaluate prompting and the finetuned model

Everything lies in one database and, beside it, a folder of intermediate files (checkpoints, the adapter).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from selfguide_lite import diagnosis
from selfguide_lite.check import refuse_errors, task_warnings
from selfguide_lite.core.errors import SelfguideError, in_plain_words
from selfguide_lite.core.lock import check_folder, exclusive
from selfguide_lite.core.progress import FunnelRow, Listener
from selfguide_lite.core.renamed import renamed_notes
from selfguide_lite.evaluate import Gain, Measurement, measure
from selfguide_lite.finetune import trainer_named
from selfguide_lite.finetuning import finetune
from selfguide_lite.gguf.check import check_model
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.trainable import why_not_trainable
from selfguide_lite.llm import model_path, open_engine
from selfguide_lite.llm.build_check import require_build
from selfguide_lite.llm.templates import template_note
from selfguide_lite.models.described import describe_model
from selfguide_lite.own_data import OwnData
from selfguide_lite.run_context import RunContext
from selfguide_lite.run_files import nothing_left_of_a_false_start
from selfguide_lite.run_options import RunOptions
from selfguide_lite.store import Store
from selfguide_lite.synthesis import is_synthesized, synthesize
from selfguide_lite.task import Task
from selfguide_lite.task.eval_rows import eval_rows
from selfguide_lite.task_change import TaskChange, bring_in_told


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
        """The result of the comparison, in a sentence."""
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
    db: Path | str,
    options: RunOptions | None = None,
    *,
    agree: Callable[[TaskChange], bool] | None = None,
    renamed: Mapping[str, str] | None = None,
) -> RunResult:
    """Do the whole job for a task, or what is left of it: write data, finetune, measure the gain over prompting.

    With a server and no model the job ends with the dataset, since only a file can be finetuned.

    :param db: the run's database, made where there is none; what it holds already is not done again
    :param options: None: all defaults
    :param agree: told what changed in the task since the database has it, and asked whether to bring it in; None: no
    :param renamed: labels' old names with their new ones, where the task's labels changed
    :raises SelfguideError: where something is wrong that the user can mend, in one line
    """
    options = options or RunOptions()
    db, listener = Path(db), options.listener
    check_folder(db)
    for line in renamed_notes(options.settings):
        listener.note(line)
    task = options.set_for(task)
    wanted = task.rules.resolve(task.settings)
    # What can be wrong is looked at before anything is made, and before hours of work.
    rows = eval_rows(task) if task.eval is not None else []
    own = OwnData.of(task)
    engine_options = options.engine
    local = None if engine_options.server is not None and options.model is None else model_path(options.model)
    if local is not None:
        require_build()
        if options.train:
            _check_trainer(wanted.trainer)
        check_model(local)
        listener.note(describe_model(local, options.model))
    if engine_options.server is not None:
        listener.note(f"model: {engine_options.server_model or 'the first one'} of the server {engine_options.server}")
    if local is not None:
        _look_at(local, listener, train=options.train, n_ctx=engine_options.n_ctx)
    for line in task_warnings(task, options.prompts):
        listener.note(line)
    with _plainly(), exclusive(db), nothing_left_of_a_false_start(db), Store.open(db) as store:
        task_id = bring_in_told(store, task, listener.note, agree, renamed)
        own.take_in(store, task_id, rows, listener)
        wanted = task.rules.resolve(options.chosen(task, store.chosen_settings(task_id)))
        refuse_errors(task, wanted, options.prompts)
        context = RunContext(store, task_id, wanted, options.prompts, options.seed, listener)
        if is_synthesized(store, task_id, wanted):
            listener.done("generate", f"{len(store.requests_done(task_id))} inputs were in the store")
            listener.done("annotate", "their answers were in the store")
        else:
            with options.watch(open_engine(local, engine_options)) as engine:
                synthesize(context, engine)
        funnel = tuple(store.funnel(task_id))
        listener.funnel(funnel)
        pairs = store.pair_count(task_id)
        if not pairs:
            raise SelfguideError(diagnosis.no_pairs(task.name, funnel))
        for line in (*label_notes(store, task_id, task), *balance_notes(store, task_id)):
            listener.note(line)
        if local is None:
            listener.note("the dataset is ready; name the same model's GGUF file with -m to finetune it")
            return RunResult(task.name, db, pairs, funnel)
        if not options.train:
            listener.note("the dataset is ready; without --no-train the same command finetunes on it")
            return RunResult(task.name, db, pairs, funnel)
        # A server only writes the data.
        alone = replace(engine_options, server=None)

        def opened() -> Any:
            return options.watch(open_engine(local, alone))

        made = finetune(context, local, opened)
        measured_on = rows if options.measure else []
        with opened() if measured_on else nullcontext() as engine:
            measured = measure(context, engine, measured_on, made.adapter, made.inputs)
        return RunResult(task.name, db, pairs, funnel, Path(made.adapter.path), measured)


def _check_trainer(name: str) -> None:
    """Refuse at once where something is missing that training needs.

    :raises SelfguideError: with what is missing
    """
    try:
        trainer_named(name).check()
    except SelfguideError as error:
        raise SelfguideError(f"{error}; with --no-train the data alone are made") from error


def _look_at(model: Path, listener: Listener, *, train: bool, n_ctx: int | None) -> None:
    """Say whether a model can be finetuned.

    :raises SelfguideError: where it cannot and is to be
    """
    with GgufFile(model, tensors=False) as gguf:
        template = template_note(gguf.metadata.get("tokenizer.chat_template"), gguf.architecture)
    if template is not None:
        listener.note(f"chat template: {template}")
    reason = why_not_trainable(model, n_ctx=n_ctx)
    if reason is None:
        listener.note(f"{model.name} can be finetuned")
    elif train:
        raise SelfguideError(f"{reason}; with --no-train only the data is made")
    else:
        listener.note(f"this model cannot be finetuned: {reason}")


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
        ". That is no more than chance; the comparison at the end tells whether the pairs help in spite of this. "
        f"What may help: {diagnosis.ADVICE['disagreement']}"
    )
    notes.append(agreement.sentence + ("" if agreement.beyond_chance else advice))
    return notes


def balance_notes(store: Store, task_id: int) -> list[str]:
    """Say how uneven the labels are that balance leaves, where pairs of a person's own may not be dropped."""
    if not store.settings(task_id).get("balance"):
        return []
    counts = {row.label: row.pairs for row in store.label_balance(task_id) if row.pairs}
    if len(set(counts.values())) < 2:
        return []
    told = ", ".join(f"{label} {n:,}" for label, n in counts.items())
    return [f"pairs of each label: {told}. What you gave stays, so the labels are not equally frequent"]


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
