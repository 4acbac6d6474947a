"""On random rows every view agrees with a straightforward Python reading of the rules (`store_reading`)."""

import random
from collections import Counter, defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import store_reading as reading
from hypothesis import given, settings
from hypothesis import strategies as st

from selfguide_lite.core.settings import Settings
from selfguide_lite.store import NewInput, NewOutput, Store
from selfguide_lite.store.dataset import FUNNEL_STAGES
from selfguide_lite.store.stored_values import clean
from selfguide_lite.task import Example, Task, fold

pytestmark = pytest.mark.slow

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
SEEDS = st.lists(
    st.sampled_from([*WORDS[:4], "a longer one of them", "a good one", "so bad", "ünï", "q" * 40]),
    min_size=1,
    max_size=4,
)


SHARES: dict[int, tuple[float, ...]] = {0: (), 2: (0.9, 0.1), 3: (0.2, 0.5, 0.3)}


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    """A task of either kind, with examples that may all be equally long, and any thresholds."""
    chosen = Settings(
        noise_filter=draw(st.booleans()),
        input_length_filter=draw(st.booleans()),
        output_length_filter=draw(st.none() | st.booleans()),
        length_rule=draw(st.sampled_from(["range", "deviations"])),
        length_factor=draw(st.sampled_from([1.0, 3.0, 7.5])),
        length_deviations=draw(st.sampled_from([0.5, 2.0, 3.5])),
        length_slack_share=draw(st.sampled_from([0.0, 0.25, 3.0])),
        length_slack_min=draw(st.integers(0, 40)),
        consistency_filter=draw(st.booleans()),
        min_vote_share=draw(st.sampled_from([0.0, 0.3, 0.5, 1.0])),
        near_duplicate_threshold=None,
        label_named_filter=draw(st.none() | st.booleans()),
        calibrate=draw(st.none() | st.booleans()),
        calibrate_min_inputs=draw(st.sampled_from([0, 5, 20])),
        agreement_filter=draw(st.none() | st.booleans()),
        agreement_min_pairs=draw(st.sampled_from([0, 3, 10])),
        min_confidence=draw(st.sampled_from([0.0, 0.6])),
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
        label_shares=dict(zip(labels, draw(st.sampled_from([(), SHARES[len(labels)]])), strict=False)),
        examples=tuple(
            Example(input=given or "s", output=answer) for given, answer in zip(inputs, outputs, strict=True)
        ),
        noise_terms=tuple(
            draw(st.sets(st.sampled_from(["sure, here", "input", "\n\n", "ä", "^Good", "^sun ", "^", "%", "_"])))
        ),
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
            label = dice.choice([None, *task.labels, *task.labels]) if task.labels else None
            new_input = NewInput(task_id, run, number // 10, number % 10, text, label)
            shown = reading.Text(store.add_input(new_input), clean(text), label)
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
    chosen = task.rules.resolve(task.settings)
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
    found = defaultdict(list)
    for i, answer, share in query("SELECT input_id, answer, share FROM vote ORDER BY input_id, place"):
        found[i].append((answer, share))
    for shown in texts:
        expected = reading.votes(shown, task, chosen)
        assert [answer for answer, _ in found[shown.id]] == [answer for answer, _ in expected]
        assert all(close(a[1], b[1]) for a, b in zip(found[shown.id], expected, strict=True))
    means, n = reading.priors(texts, task, chosen)
    priors = {label: (mean, count) for label, mean, count in query("SELECT label, mean, n FROM label_prior")}
    assert priors.keys() == means.keys()
    assert all(close(priors[label][0], means[label]) and priors[label][1] == n for label in means)
    taken = reading.answers(texts, task, chosen)
    edges = [chosen.min_vote_share, chosen.min_confidence]
    if any(
        a.unclear or (a.confidence != a.share and any(close(a.confidence, e) for e in edges)) for a in taken.values()
    ):
        return
    rows = {i: row for i, *row in query("SELECT input_id, answer, share, confidence FROM answer")}
    assert {i: row[0] for i, row in rows.items()} == {i: a.answer for i, a in taken.items()}
    assert all(close(rows[i][1], a.share) and close(rows[i][2], a.confidence) for i, a in taken.items())
    reasons = reading.answer_reasons(texts, task, chosen)
    assert dict(query("SELECT id, reason FROM answer_verdict")) == reasons
    disagreed = {i for i, reason in reasons.items() if reason == "disagreement"}
    assert disagreed <= {i for (i,) in query("SELECT id FROM filter_answer_disagreement")}
    for name in ("share", "confidence"):
        rejected = {i for (i,) in query(f"SELECT id FROM filter_answer_{name}")}
        assert {i for i, reason in reasons.items() if reason == name} <= rejected
    candidates = {i: taken[i].answer for i, reason in reasons.items() if reason is None}
    check_agreement(store, task_id, texts, reasons, taken)
    pairs = {pair.input_id: pair.output for pair in store.pairs(task_id)}
    if task.labels and chosen.balance:
        sizes = Counter(candidates.values())
        assert Counter(pairs.values()) == {label: min(sizes.values()) for label in sizes}
        assert pairs.items() <= candidates.items()
    else:
        assert pairs == candidates
    assert {shown.id for shown in store.unpaired_inputs(task_id)} == {
        i for i, reason in told.items() if reason is None and i not in pairs
    }
    check_funnel(store, task_id, texts, told, judged, reasons, len(pairs))


def close(one: float, other: float) -> bool:
    return abs(one - other) < 1e-9


def check_agreement(
    store: Store,
    task_id: int,
    texts: list[reading.Text],
    reasons: dict[int, str | None],
    taken: dict[int, reading.Answer],
) -> None:
    labels = {shown.id: shown.label for shown in texts}
    asked = [(labels[i], taken[i].answer) for i, why in reasons.items() if why in (None, "disagreement") and labels[i]]
    found = store.agreement(task_id)
    assert (found.asked, found.agreeing) == (len(asked), sum(a == b for a, b in asked))
    wanted, given_ = Counter(a for a, _ in asked), Counter(b for _, b in asked)
    expected = sum(wanted[label] * given_[label] for label in wanted if label is not None)
    assert close(found.expected, expected / len(asked) ** 2 if asked else 0)
    pool = {shown.id: shown for shown in store.agreeing_pool(task_id)}
    for i, reason in reasons.items():
        assert pool[i].label == labels[i] and pool[i].answer == taken[i].answer
        assert pool[i].agrees == (None if labels[i] is None else labels[i] == taken[i].answer)
        assert reason != "disagreement" or (found.enabled and not found.fallback)


def check_funnel(
    store: Store,
    task_id: int,
    texts: list[reading.Text],
    told: dict[int, str | None],
    judged: dict[int, str | None],
    reasons: dict[int, str | None],
    pairs: int,
) -> None:
    kept = [shown for shown in texts if told[shown.id] is None]
    expected: Counter[tuple[str, str]] = Counter(("input", reason or "kept") for reason in told.values())
    expected.update(("output", judged[i] or "kept") for shown in kept for i, _, _ in shown.outputs)
    for shown in kept:
        fate = "no valid answer" if shown.outputs else "unanswered"
        expected["answer", (reasons[shown.id] or "kept") if shown.id in reasons else fate] += 1
    expected["dataset", "kept"] = pairs
    expected["dataset", "balance"] = expected["answer", "kept"] - pairs
    stages = [row.stage for row in store.funnel(task_id)]
    assert stages == sorted(stages, key=FUNNEL_STAGES.index)
    found = {(row.stage, row.reason): row.n for row in store.funnel(task_id)}
    assert found == {key: n for key, n in expected.items() if n}
