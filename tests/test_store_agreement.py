"""On random rows every view agrees with a straightforward Python reading of the rules (`store_reading`)."""

import random
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import store_reading as reading
from hypothesis import given, settings
from hypothesis import strategies as st

from selfguide_lite.settings import Settings
from selfguide_lite.store import NewInput, NewOutput, Store
from selfguide_lite.store.store import clean
from selfguide_lite.task import Example, Task, fold

WORDS = [
    "sun",
    "Sun",
    "sure, here",
    "INPUT",
    "\n\n",
    "ÄÖ",
    "ä",
    "日本",
    " ",
    "\t",
    "\u00a0",
    "good",
    "Bad",
    "not bad",
    "x" * 9,
]
ODD = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(max_size=12)
TEXTS = (
    st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
    | st.lists(st.sampled_from(WORDS), max_size=4).map("".join)
    | ODD
    | st.integers(0, 300).map(lambda n: "y" * n)
    | st.just("z" * 20_000)
)
SEEDS = st.lists(st.sampled_from([*WORDS[:4], "a longer one of them", "ünï", "q" * 40]), min_size=1, max_size=4)


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    """A task of either kind, with examples that may all be equally long, and any thresholds."""
    chosen = Settings(
        noise_filter=draw(st.booleans()),
        input_length_filter=draw(st.booleans()),
        output_length_filter=draw(st.none() | st.booleans()),
        length_deviations=draw(st.sampled_from([0.5, 2.0, 3.5])),
        length_slack_share=draw(st.sampled_from([0.0, 0.25, 3.0])),
        length_slack_min=draw(st.integers(0, 40)),
        consistency_filter=draw(st.booleans()),
        min_share=draw(st.sampled_from([0.0, 0.3, 0.5, 1.0])),
        balance=draw(st.none() | st.booleans()),
    )
    labels = draw(st.sampled_from([(), ("good", "bad"), ("bad", "not bad", "日本")]))
    inputs = draw(SEEDS)
    outputs = draw(st.lists(st.sampled_from(labels or WORDS[:2]), min_size=len(inputs), max_size=len(inputs)))
    return Task(
        name="t",
        kind="classification" if labels else "generation",
        instruction="do it",
        labels=labels,
        examples=tuple(
            Example(input=given or "s", output=answer) for given, answer in zip(inputs, outputs, strict=True)
        ),
        noise_terms=tuple(draw(st.sets(st.sampled_from(["sure, here", "input", "\n\n", "ä", "Good", "%", "_"])))),
        settings=chosen,
    )


EXAMPLES, INPUTS, OUTPUTS = 14, 160, 3.5  # 14 x 160 inputs with 3.5 outputs each on average: 10,080 rows


@settings(max_examples=EXAMPLES)
@given(tasks(), st.lists(TEXTS, min_size=10, max_size=60), st.integers(0, 2**32))
def test_every_view_agrees_with_a_plain_reading_of_the_rules(task: Task, pool: list[str], seed: int) -> None:
    dice = random.Random(seed)
    with TemporaryDirectory() as folder, Store.open(Path(folder) / "a.db") as store:
        store.connection.execute("PRAGMA synchronous = OFF")
        task_id = store.add_task(task)
        run = store.start_run(task_id, "generate", None, task.settings, 1, None)
        texts = []
        for number in range(INPUTS):
            text = dice.choice(pool) if dice.random() < 0.5 else " ".join(dice.choices([*pool[:20], *WORDS], k=2))
            shown = reading.Text(store.add_input(NewInput(task_id, run, number // 10, number % 10, text)), clean(text))
            few = dice.choices([*pool, *task.labels, *task.labels], k=3)
            new = [
                NewOutput(shown.id, run, sample, dice.choice(few), weight=dice.choice([1.0, 1.0, 0.25]))
                for sample in range(dice.randint(0, round(2 * OUTPUTS)))
            ]
            store.add_outputs(new)
            ids = store.connection.execute("SELECT id FROM output WHERE input_id = ? ORDER BY id", (shown.id,))
            shown.outputs = [(i, clean(o.text), o.weight) for (i,), o in zip(ids, new, strict=True)]
            texts.append(shown)
        compare(store, task_id, texts)


def compare(store: Store, task_id: int, texts: list[reading.Text]) -> None:
    """Compare every view with the reading, for a task whose settings are those of its file."""
    query = store.connection.execute
    task = store.task(task_id)
    chosen = task.settings.resolve(task.kind)
    told = reading.input_reasons(texts, task, chosen)
    if "?" in told.values():
        return  # a length that is on the bound but for a rounding error
    assert dict(query("SELECT id, reason FROM input_verdict")) == told
    named = {shown.id: reading.noise(shown.text, task) for shown in texts}
    assert dict(query("SELECT id, detail FROM filter_input_noise")) == {
        i: term for i, term in named.items() if term and chosen.noise_filter
    }
    assert {i for (i,) in query("SELECT id FROM filter_input_empty")} == {t.id for t in texts if not t.text.strip()}
    seeds = {fold(example.input) for example in task.examples}
    assert {i for (i,) in query("SELECT id FROM filter_input_echo")} == {t.id for t in texts if fold(t.text) in seeds}
    judged = {i: reading.output_reason(text, task, chosen) for shown in texts for i, text, _ in shown.outputs}
    if "?" in judged.values():
        return
    assert dict(query("SELECT id, reason FROM output_verdict")) == judged
    for shown in texts:
        expected = reading.votes(shown, task, chosen)
        found = query("SELECT answer, share FROM vote WHERE input_id = ? ORDER BY place", (shown.id,)).fetchall()
        assert [answer for answer, _ in found] == [answer for answer, _ in expected]
        assert all(abs(a[1] - b[1]) < 1e-9 for a, b in zip(found, expected, strict=True))
    taken = reading.answers(texts, task, chosen)
    assert dict(query("SELECT input_id, answer FROM answer")) == taken
    candidates = {i: answer for i, answer in taken.items() if told[i] is None}
    pairs = {pair.input_id: pair.output for pair in store.pairs(task_id)}
    if task.labels and chosen.balance:
        sizes = Counter(candidates.values())
        assert Counter(pairs.values()) == {label: min(sizes.values()) for label in sizes}
        assert pairs.items() <= candidates.items()
    else:
        assert pairs == candidates
    check_funnel(store, task_id, texts, told, judged, candidates, len(pairs))


def check_funnel(
    store: Store,
    task_id: int,
    texts: list[reading.Text],
    told: dict[int, str | None],
    judged: dict[int, str | None],
    candidates: dict[int, str],
    pairs: int,
) -> None:
    kept = [shown for shown in texts if told[shown.id] is None]
    expected: Counter[tuple[str, str]] = Counter(("input", reason or "kept") for reason in told.values())
    expected.update(("output", judged[i] or "kept") for shown in kept for i, _, _ in shown.outputs)
    for shown in kept:
        passed = [i for i, _, _ in shown.outputs if judged[i] is None]
        fate = "unanswered" if not shown.outputs else "no valid answer" if not passed else "inconsistent"
        expected["answer", "kept" if shown.id in candidates else fate] += 1
    expected["dataset", "kept"] = pairs
    expected["dataset", "balance"] = len(candidates) - pairs
    found = {(row.stage, row.reason): row.n for row in store.funnel(task_id)}
    assert found == {key: n for key, n in expected.items() if n}
