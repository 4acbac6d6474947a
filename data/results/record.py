"""One run of the table, and what is kept of it: small enough for the repository, enough to work the table out again."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from data.results.plan import ANSWERS, VARIANTS, Planned
from selfguide_lite import RunOptions, SelfguideError, load_task, run
from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.resources import resource
from selfguide_lite.core.settings import Settings, as_recorded
from selfguide_lite.kinds import kind_named
from selfguide_lite.llm import model_path
from selfguide_lite.llm.tuning import fast_weights
from selfguide_lite.pipeline import RunResult
from selfguide_lite.report.progress import RUN_STAGES, listener_for
from selfguide_lite.store import PoolInput, Store
from selfguide_lite.task import NOISE_TERMS, Task, last_label
from selfguide_lite.task.natural_instructions import import_natural_instructions

Record = Mapping[str, Any]  # what is kept of a run
_KINDS = ("classification", "generation")
VARIED = 200  # kept inputs whose words are compared
_NOT_USUAL = ("object-", "answer-")  # templates of kinds that no record is of, and of prompts that no default asks


def defaults_sha256() -> str:
    """Return a hash of what decides a run beside task, model and seed: default settings, prompts, noise terms."""
    defaults = [kind_named(kind).resolve(Settings()) for kind in _KINDS]
    templates = [one for one in resource("prompts").glob("*.j2") if not one.name.startswith(_NOT_USUAL)]
    return settings_sha256(defaults, templates)


def settings_sha256(settings: Iterable[Settings], templates: Iterable[Path]) -> str:
    """Return a hash of settings, prompt files and the noise terms."""
    digest = hashlib.sha256()
    for one in settings:
        digest.update(json.dumps(as_recorded(one.model_dump(mode="json")), sort_keys=True).encode())
    for path in sorted(templates):
        digest.update(path.name.encode() + path.read_bytes())
    digest.update(json.dumps(NOISE_TERMS).encode())
    return digest.hexdigest()


def load(planned: Planned, folder: Path) -> Task:
    """Return a planned run's task; one of the benchmark is imported into the folder."""
    path = planned.source
    if path.suffix == ".json":
        path = folder / "tasks" / f"{planned.name}.yaml"
        import_natural_instructions(planned.source, path, path.with_suffix(".eval.jsonl"), overwrite=True)
    task = load_task(path)
    if not planned.shares:
        return task
    frequent, rare = task.labels[0], task.labels[1:]
    return task.model_copy(update={"label_shares": {frequent: 0.9, **dict.fromkeys(rare, 0.1 / len(rare))}})


def record(planned: Planned, folder: Path, kept: Path) -> dict[str, Any]:
    """Do a planned run, or what is left of it, write down what is kept of it and return that.

    :param folder: of the databases
    :param kept: folder of the records; one that was made with today's defaults and weights is not made again
    """
    place = kept / f"{planned.key}.json"
    done = read(place)
    if done and (done["defaults_sha256"], done.get("computed_in")) == (defaults_sha256(), computed_in()):
        return done
    base = {
        "group": planned.group,
        "task": planned.name,
        "seed": planned.seed,
        "variant": planned.variant,
        "told": bool(planned.shares),
        "defaults_sha256": defaults_sha256(),
        "model_sha256": file_sha256(model_path(None)),
        "computed_in": computed_in(),
    }

    def job() -> dict[str, Any]:
        task = load(planned, folder)
        with listener_for(False, RUN_STAGES) as listener:
            options = RunOptions(
                settings={**VARIANTS, **ANSWERS}[planned.variant], seed=planned.seed, listener=listener
            )
            return _facts(task, run(task, folder / f"{planned.key}.db", options))

    return write_down(place, folder, base, job)


@cache
def computed_in() -> str:
    """Return the type of the weights that the default model is computed with on this machine: its working copy's."""
    model = model_path(None)
    used = fast_weights(model, measure=True)
    return used.stem.rpartition("-")[2].upper() if used != model else used.suffixes[0].lstrip(".")


def write_down(
    place: Path, folder: Path, base: Mapping[str, Any], job: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """Do a job, write down what it found with its date and time, and return that.

    :param place: the record's file
    :param folder: of the databases; also of the seconds that the job took before it was interrupted
    :param base: what is known of the run before it is done
    """
    spent = folder / f"{place.stem}.seconds"
    before, begun = float(spent.read_text()) if spent.exists() else 0.0, time.monotonic()
    try:
        found = job()
    except SelfguideError as error:
        found = {"error": str(error).replace(str(folder), "").strip(": ")}
    finally:  # also when interrupted: the time counts on
        seconds = before + time.monotonic() - begun
        spent.parent.mkdir(parents=True, exist_ok=True)
        spent.write_text(f"{seconds:.0f}")
    answer = {**base, "date": date.today().isoformat(), "seconds": round(seconds), **found}
    with atomic_write(place) as temporary:
        temporary.write_text(json.dumps(answer, ensure_ascii=False) + "\n", encoding="utf-8")
    return answer


def read(path: Path) -> dict[str, Any]:
    """Return a record; empty where there is none."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _facts(task: Task, result: RunResult) -> dict[str, Any]:
    measured = result.measurement
    assert measured is not None  # a model file was given
    inputs: Counter[str] = Counter({row.reason: row.n for row in result.funnel if row.stage == "input"})
    gain = result.gain
    with Store.open(result.db, read_only=True) as store:
        task_id = store.only_task_id(task.name)
        agreement = store.agreement(task_id) if task.labels else None
        varied = _varied(inputs, store.pool(task_id))
    return {
        "kind": task.kind,
        "labels": list(task.labels),
        "kept_share": round(inputs["kept"] / max(1, inputs.total()), 3),
        "pairs": result.pairs,
        **varied,
        "agreement": None
        if agreement is None
        else {"observed": round(agreement.observed, 3), "expected": round(agreement.expected, 3)},
        "verdict": result.verdict,
        "gain": gain
        and {"over": gain.over, "before": gain.before, "after": gain.after, "low": gain.low, "high": gain.high},
        "rights": _rights(task, result),
        "methods": {name: _answers(task, one) for name, one in measured.evaluations.items()},
    }


def _varied(inputs: Counter[str], pool: Sequence[PoolInput]) -> dict[str, Any]:
    """Return how varied the inputs of a run are.

    `duplicates` is the share of the written inputs that are copies or near copies of earlier ones; `distinct_2` the
    share of distinct ones among the pairs of words that follow each other, in the first kept inputs, so many in all
    runs (distinct-2, arXiv 1510.03055).

    :param inputs: how many inputs there are by the reason for which a filter rejects them
    :param pool: the kept ones
    """
    kept = [one.text.lower().split() for one in pool[:VARIED]]
    twos = [two for words in kept for two in pairwise(words)]
    return {
        "duplicates": round(inputs["duplicate"] / max(1, inputs.total()), 3),
        "distinct_2": round(len(set(twos)) / len(twos), 3) if len(kept) == VARIED and twos else None,
    }


def _rights(task: Task, result: RunResult) -> list[int]:
    """Right labels as their numbers; empty for generation."""
    assert result.measurement is not None
    one = next(iter(result.measurement.evaluations.values()))
    return [_number(task, given.references[0]) for given in one.predictions] if task.labels else []


def _answers(task: Task, evaluation: Any) -> list[float]:
    """For classification each row's answer as a label's number, -1 for none; for generation each row's score."""
    if task.labels:
        return [_number(task, given.text) for given in evaluation.predictions]
    return [round(score, 4) for score in evaluation.scores]


def _number(task: Task, text: str) -> int:
    label = last_label(text, task.labels)
    return -1 if label is None else list(task.labels).index(label)


def scores(done: Mapping[str, Any], method: str) -> list[float]:
    """Return a method's score on every row, as a share of 1."""
    answers = done["methods"][method]
    if not done["rights"]:
        return list(answers)
    return [float(answer == right) for answer, right in zip(answers, done["rights"], strict=True)]
