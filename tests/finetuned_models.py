"""A database with a finetuned model, without a training: a random LoRA for the tiny model, as a training leaves it."""

import json
from pathlib import Path

from datasets_for_tests import TASK, filled
from llamas import random_lora

from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.core.paths import training_folder, trainings_dir
from selfguide_lite.core.resources import resource
from selfguide_lite.gguf.adapter import write_adapter
from selfguide_lite.prompts import Prompts
from selfguide_lite.store import NewEvaluation, Prediction, Store, VerdictRow
from selfguide_lite.task import Task

TINY = resource("data/tiny_vicuna/tiny-vicuna.gguf")
WARMTH = Task.model_validate(
    TASK.model_dump()
    | {
        "name": "warmth",
        "kind": "classification",
        "labels": ["warm", "cold"],
        "examples": [
            {"input": "a sun with the number 3", "output": "warm"},
            {"input": "a snow with the number 9", "output": "cold"},
        ],
        "settings": TASK.settings.model_dump(exclude_unset=True) | {"output_max_tokens": 12, "method": "score"},
    }
)


def add_training(db: Path, key: str, strength: float = 0.02, base: Path = TINY, style: str = "few-shot") -> int:
    """Add a training to a database's only task, as `train` leaves it, and return the adapter's number."""
    with Store.open(db) as store:
        task_id = store.only_task_id()
        model_id = store.add_model(ModelInfo("tiny", str(base), file_sha256(base), "llama", 4_000_000))
        settings = {"answer_style": style, "key": key}
        run_id = store.add_train_run(task_id, model_id, settings, 1, key, Prompts().template("annotate"))
        store.finish_run(run_id, "done")
        folder = training_folder(trainings_dir(db, store.task(task_id).name), key)
        random_lora(folder, base, strength=strength)
        (folder / "selfguide.json").write_text(json.dumps({"run_id": run_id, "gguf_sha256": file_sha256(base)}))
        (folder / "checkpoint-2").mkdir()
        (folder / "checkpoint-2" / "optimizer.pt").write_bytes(bytes(1000))
        adapter = write_adapter(folder, base, folder / "adapter.gguf")
        return store.add_adapter(task_id, run_id, model_id, adapter, file_sha256(adapter), {"pairs": 16})


def add_verdict(db: Path, adapter_id: int, after: float = 0.8, winner: str = "finetuned scored") -> None:
    """Add a comparison with prompting, and the evaluation that won."""
    with Store.open(db) as store:
        task_id = store.only_task_id()
        (adapter,) = (one for one in store.adapters(task_id) if one.id == adapter_id)
        finetuned = winner.startswith("finetuned")
        evaluation = store.add_evaluation(
            task_id,
            NewEvaluation(
                method=winner, metric="exact match", model_id=adapter.model_id,
                adapter_id=adapter_id if finetuned else None, n=40, template=Prompts().template("annotate"),
            ),
        )  # fmt: skip
        for number in range(40):
            text = f"a moon with the number {number}"
            store.add_prediction(evaluation, Prediction(number, text, ("cold",), "cold", 1.0))
        store.finish_evaluation(evaluation, after, after - 0.1, after + 0.1)
        numbers = ("few-shot calibrated", 0.6, after, after - 0.7, after - 0.5)
        sentence = f"{'Better' if finetuned else 'Not better'} than every prompting tried"
        store.add_verdict(VerdictRow(0, task_id, adapter_id, "exact match", "", 40, *numbers, sentence, evaluation))


def finetuned(db: Path, task: Task = WARMTH) -> Path:
    """Make a database with pairs and one adapter."""
    filled(db, task=task)
    add_training(db, "first")
    return db
