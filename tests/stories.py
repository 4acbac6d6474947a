"""Databases with the rows of a whole run, put in through the functions of the store: no model is needed."""

import math
import random
from pathlib import Path

from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.core.progress import TrainStep
from selfguide_lite.core.settings import Settings
from selfguide_lite.evaluate import paired_gain
from selfguide_lite.prompts import Prompts
from selfguide_lite.store import NewEvaluation, NewInput, NewOutput, Prediction, Store, VerdictRow
from selfguide_lite.task import Example, Task

# Texts that must stay texts wherever they are shown.
HOSTILE = (
    "<script>document.title = 'hacked'</script>",
    "</script><script>document.title = 'hacked'</script>",
    """"><img src=x onerror="document.title = 'hacked'">""",
    "<svg/onload=document.title='hacked'>",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "javascript:document.title='hacked'",
    "\x1b[31mred\x1b[0m \x1b]8;;http://example.com\x07link\x1b]8;;\x07 \x07",
    "[bold red]markup[/bold red] [link=http://example.com]x[/link]",
    "\u202egnal\u202c \u2066isolate\u2069",
    "<!-- comment --> <![CDATA[ x ]]> &lt;b&gt; &amp;",
    "'; DROP TABLE input; --",
    '=HYPERLINK("http://example.com")',
    "line one\nline two\r\nline three\u2028line four",
    "مرحبا بالعالم، هذا نص عربي",
    "河水今晚很冷，没有人愿意下去。",
    "a\u0300\u0301\u0302 zalgo 👩‍👩‍👧‍👦 \ufeff",
)

SHOP = Task(
    name="shop talk",
    kind="classification",
    instruction="Say whether the customer is happy or upset.",
    labels=("happy", "upset"),
    examples=(
        Example(input="The bread was lovely, thank you!", output="happy"),
        Example(input="I waited for an hour and nobody came to help me.", output="upset"),
        Example(input="Great tea.", output="happy"),
    ),
)
NOTES = Task(
    name="notes",
    kind="generation",
    instruction="Write a short note that says who gets what.",
    examples=(
        Example(input="Zumir sent a puzzle to Jorin after supper.", output="For Jorin: the puzzle."),
        Example(input="Vejuk lent Zitas a dog.", output="For Zitas: the dog."),
        Example(input="Well, Nudriben gave Kreledol a red necklace.", output="For Kreledol: the red necklace."),
    ),
)


def told(path: Path, task: Task = SHOP, rounds: int = 12, hostile: bool = True, seed: int = 3) -> Store:
    """Return an open store that holds a run of `task` from its first prompt to the evaluation after the finetune."""
    rng = random.Random(seed)
    names, things = (
        ("Ada", "Boris", "Chen", "Dalia", "Emre"),
        ("bread", "tea", "soup", "lamp", "boat", "violin", "coat"),
    )
    looks = ("lovely", "awful", "cold", "fresh", "too late", "as good as ever", "broken again")
    store = Store.open(path)
    task_id = store.add_task(task)
    info = ModelInfo("tiny <b>llama</b>", "/models/tiny.gguf", "0" * 64, "llama", 3_700_000)
    model_id = store.add_model(info)
    settings, prompts = task.rules.resolve(Settings()), Prompts()
    run_id = store.start_run(task_id, "generate", model_id, settings, 42, prompts.input_template(task))
    texts = iter(HOSTILE if hostile else ())
    for number in range(rounds * 10):
        text = next(texts, "")
        if not text:
            text = f"{rng.choice(names)} said that the {rng.choice(things)} was {rng.choice(looks)}."
            text += " I hope this helps!" if rng.random() < 0.08 else " Really, it was." * rng.choice((0, 0, 0, 1, 5))
        label = rng.choice(task.labels) if task.labels else None
        store.add_input(NewInput(task_id, run_id, number // 10, number % 10, text, label, (0, 1, 2)))
    store.finish_run(run_id, "done")
    run_id = store.start_run(task_id, "annotate", model_id, settings, 42, prompts.template("annotate"))
    for shown in store.pool(task_id):
        if task.labels:
            share = min(1.0, max(0.0, rng.gauss(0.5, 0.4)))
            votes = [(label, weight) for label, weight in zip(task.labels, (share, 1 - share), strict=True)]
            outputs = [
                NewOutput(shown.id, run_id, at, label, "score", weight, math.log(weight + 1e-9))
                for at, (label, weight) in enumerate(votes)
            ]
        else:
            answers = ("For Ada: the lamp.", "For Boris: the old boat.", "Sure, here it is: For Ada: the lamp.", "")
            outputs = [NewOutput(shown.id, run_id, at, rng.choice(answers)) for at in range(10)]
        store.add_outputs(outputs)
    store.finish_run(run_id, "done")
    run_id = store.add_train_run(task_id, model_id, {"epochs": 3}, 42, "1" * 64, prompts.template("annotate"))
    for step in range(1, 91):
        loss = 2.4 * math.exp(-step / 25) + 0.1 * rng.random()
        store.add_train_step(run_id, TrainStep(step, 90, step / 30, loss, 1e-3, 1.0, 900.0, 10**9))
    store.finish_run(run_id, "done")
    adapter_id = store.add_adapter(task_id, run_id, model_id, "adapter.gguf", "2" * 64)
    metric = "exact match" if task.labels else "rouge-l"
    answers = task.labels or ("For Ada: the lamp.", "For Boris: the old boat.")
    usual = "finetuned scored" if task.labels else "finetuned"
    made = {}
    for method, right, adapter in (("zero-shot", 0.3, None), ("few-shot", 0.55, None), (usual, 0.85, adapter_id)):
        evaluation = store.add_evaluation(
            task_id, NewEvaluation(method=method, metric=metric, model_id=model_id, adapter_id=adapter, n=100)
        )
        scores = []
        for number in range(100):
            reference = answers[number % len(answers)]
            good = rng.random() < right
            text = reference if good else (HOSTILE[number % len(HOSTILE)] if hostile else "Great question!")
            scores.append(float(good))
            store.add_prediction(evaluation, Prediction(number, f"Question {number}", (reference,), text, float(good)))
        mean = sum(scores) / len(scores)
        store.finish_evaluation(evaluation, mean, max(0.0, mean - 0.09), min(1.0, mean + 0.09))
        made[method] = evaluation, scores
    gain = paired_gain(made["few-shot"][1], made[usual][1], metric, "few-shot")
    sentence = f"Better than every prompting tried: {100 * gain.gain:+.1f} points"
    numbers = (gain.before, gain.after, gain.low, gain.high)
    store.add_verdict(
        VerdictRow(0, task_id, adapter_id, metric, "", 100, "few-shot", *numbers, sentence, made[usual][0])
    )
    return store
