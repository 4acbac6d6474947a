"""A task in any language and script goes through everything; and the Python API does what the commands do."""

import json
from pathlib import Path

import pytest
from needs import needs

from selfguide_lite import RunOptions, Store, Task, run
from selfguide_lite.cli import main
from selfguide_lite.gguf.random_model import RandomWeights, write_random_llama
from selfguide_lite.task import Example, last_label

needs("torch", "finetuning needs the extra `train`")

pytestmark = pytest.mark.slow

QUICK = {
    "rounds": 2, "prompts_per_round": 4, "input_max_tokens": 12, "output_max_tokens": 8, "samples": 2, "epochs": 1,
    "input_length_filter": False, "output_length_filter": False, "balance": False, "min_vote_share": 0.0,
    "random_labels": True,  # a model of random weights may give all inputs the same label, which cannot be trained on
}  # fmt: skip
CHINESE = Task.model_validate(
    {
        "name": "心情",
        "kind": "classification",
        "instruction": "说出这个人的心情：高兴或难过。",
        "labels": ["高兴", "难过"],
        "examples": [
            {"input": "今天的面包真好吃！", "output": "高兴"},
            {"input": "等了一个小时，也没有人来帮我。", "output": "难过"},
            {"input": "茶很香。", "output": "高兴"},
        ],
        "settings": QUICK,
    }
)
ARABIC = Task.model_validate(
    {
        "name": "رسالة قصيرة",
        "kind": "generation",
        "instruction": "اكتب ملاحظة قصيرة: من أخذ ماذا؟",
        "examples": [
            {"input": "أرسل سامي كتابًا إلى ليلى بعد العشاء.", "output": "إلى ليلى: كتاب."},
            {"input": "أعطى عمر نور قلمًا.", "output": "إلى نور: قلم."},
            {"input": "حسنًا، أهدت هدى أمها عقدًا أحمر.", "output": "إلى الأم: عقد أحمر."},
        ],
        "settings": QUICK,
    }
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_llama(
        tmp_path_factory.mktemp("model") / "random.gguf", weights=RandomWeights(sharpness=3.0), vocabulary="bpe"
    )


@pytest.mark.parametrize("task", [CHINESE, ARABIC], ids=["chinese", "arabic"])
def test_a_task_in_another_script_goes_through_everything(task: Task, model: Path, tmp_path: Path) -> None:
    rows = [{"input": example.input + "！", "output": example.output} for example in task.examples]
    (tmp_path / "eval.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    task = task.model_copy(update={"eval": tmp_path / "eval.jsonl"})
    result = run(task, tmp_path / "run.db", RunOptions(model=model))
    assert result.pairs > 0 and result.adapter is not None and result.adapter.is_file()
    assert result.gain is None and result.verdict.startswith("Not measured: 3 evaluation rows")
    with Store.open(tmp_path / "run.db", read_only=True) as store:
        (bound,) = [bound for bound in store.length_bounds(1) if bound.part == "input"]
        assert bound.mean == pytest.approx(sum(len(example.input) for example in task.examples) / 3)  # characters
        assert store.task(1).instruction == task.instruction
    from click.testing import CliRunner

    pytest.importorskip("plotly", reason="the report needs the extra `report`")
    done = CliRunner().invoke(main, ["report", "-d", str(tmp_path / "run.db"), "-o", str(tmp_path / "r.html")])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert f'<blockquote dir="auto" class="text">{task.instruction}</blockquote>' in page


def test_labels_are_found_in_scripts_without_blanks_and_after_folding() -> None:
    assert last_label("这个人先难过，后来很高兴。", CHINESE.labels) == "高兴"
    assert last_label("ＨＡＰＰＹ indeed", ("happy", "upset")) == "happy"
    assert last_label("الجواب: سعيد.", ("سعيد", "حزين")) == "سعيد"


def test_documented_api(model: Path, tmp_path: Path) -> None:
    """The example of the README."""
    task = Task(
        name="mood",
        kind="classification",
        instruction="Say whether the text is glad or sad.",
        labels=("glad", "sad"),
        examples=(Example(input="Ann sang.", output="glad"), Example(input="Bob lost his new hat.", output="sad")),
    )
    result = run(task, tmp_path / "mood.db", RunOptions(model=model, settings=QUICK))
    with Store.open(tmp_path / "mood.db") as store:
        pairs = store.pairs(store.only_task_id("mood"))
        funnel = store.funnel(store.only_task_id("mood"))
    assert len(pairs) == result.pairs > 0
    assert {pair.output for pair in pairs} <= {"glad", "sad"}
    assert any(row.reason == "kept" for row in funnel)
    assert result.gain is None and result.adapter is not None
