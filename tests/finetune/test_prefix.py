"""Rows that begin alike, computed once: the loss and every gradient are those of the rows computed one by one."""

from typing import Any

import pytest
from llamas import SHAPES
from needs import needs

from selfguide_lite.finetune.prefix import joined, share_prefix
from selfguide_lite.finetune.rows import Row, padded

needs("torch")
needs("transformers")

pytestmark = pytest.mark.slow

PROMPT = tuple(range(3, 33))
# rows of one task: same beginning, own inputs and answers of different lengths
ROWS = [
    Row((*PROMPT, 40, 41, 42, 50, 2), 33),
    Row((*PROMPT, 43, 44, 45, 46, 47, 48, 51, 52, 2), 36),
    Row((*PROMPT, 49, 50, 2), 31),
    Row((*PROMPT, 40, 41, 53, 2), 32),
]
# one prompt, two answers: the token before the answer must stay each row's own
SAME_PROMPT = [Row((*PROMPT, 60, 2), 30), Row((*PROMPT, 61, 62, 2), 30)]
DIFFERENT_START = [Row((3, *PROMPT, 60, 2), 31), Row((4, *PROMPT, 61, 2), 31)]


def model(shape: str) -> Any:
    """A random llama of transformers."""
    import torch
    import transformers

    found = SHAPES[shape]
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=70,
        hidden_size=found.width,
        num_hidden_layers=found.layers,
        num_attention_heads=found.heads,
        num_key_value_heads=found.kv_heads,
        intermediate_size=found.feed_forward,
        tie_word_embeddings=found.tied,
        initializer_range=0.2,
    )
    return transformers.LlamaForCausalLM(config).train()


def windowed() -> Any:
    """A random Gemma 3 of transformers, whose window is shorter than the rows."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.Gemma3TextConfig(
        vocab_size=70,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        intermediate_size=48,
        sliding_window=7,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
        initializer_range=0.2,
    )
    return transformers.Gemma3ForCausalLM(config).train()


def batch(rows: list[Row]) -> dict[str, Any]:
    import torch

    return {name: torch.tensor(values) for name, values in padded(rows, pad=2).items()}


def learnt(net: Any, rows: list[Row], **more: Any) -> tuple[float, Any]:
    """The loss of a batch, and all gradients in one vector."""
    import torch

    net.zero_grad()
    loss = net(**batch(rows), use_cache=False, **more).loss
    loss.backward()
    return loss.item(), torch.cat([weight.grad.flatten() for weight in net.parameters() if weight.grad is not None])


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["grouped-query", "multi-head tied", "sliding window"])
@pytest.mark.parametrize("rows", [ROWS, SAME_PROMPT, ROWS[:1], DIFFERENT_START], ids=["task", "prompt", "one", "none"])
def test_learns_the_same(shape: str, rows: list[Row]) -> None:
    import torch

    net = windowed() if shape == "sliding window" else model(shape)
    loss, gradient = learnt(net, rows)
    share_prefix(net)
    again, same = learnt(net, rows, num_items_in_batch=torch.tensor(sum(len(r.ids) - r.answer_start for r in rows)))
    assert again == pytest.approx(loss, rel=1e-5)
    assert (gradient - same).norm() < 1e-4 * gradient.norm()


def test_computes_the_beginning_once() -> None:
    found = joined(*(batch(ROWS)[name] for name in ("input_ids", "attention_mask", "labels")))
    assert found is not None
    assert found["input_ids"].shape == (1, len(PROMPT) + sum(len(row.ids) - len(PROMPT) for row in ROWS))
    assert found["input_ids"][0, : len(PROMPT)].tolist() == list(PROMPT)
    assert (found["labels"] != -100).sum() == sum(len(row.ids) - row.answer_start for row in ROWS)
    seen = (found["attention_mask"][0, 0] == 0).sum(1)  # so much does each token see: what its position says
    assert (seen == found["position_ids"][0] + 1).all()


def test_joins_more_where_a_token_costs_much_beside_attention() -> None:
    """Rows with a short beginning in common, as of a prompt without examples."""
    rows = [Row((1, 2, *range(10 * n, 10 * n + 3 * n + 2)), 3) for n in range(1, 6)]
    given = [batch(rows)[name] for name in ("input_ids", "attention_mask", "labels")]
    assert joined(*given) is None
    found = joined(*given, token_cost=1000)
    assert found is not None and found["input_ids"].shape == (1, 2 + sum(len(row.ids) - 2 for row in rows))


@pytest.mark.parametrize("rows", [ROWS[:1], DIFFERENT_START], ids=["one row", "nothing in common"])
def test_leaves_alone_what_would_be_more_work(rows: list[Row]) -> None:
    assert joined(*(batch(rows)[name] for name in ("input_ids", "attention_mask", "labels"))) is None


def test_is_not_in_the_way_of_anything_else() -> None:
    import torch

    net = model("grouped-query")
    given = batch(ROWS)
    logits = net.eval()(**given).logits
    share_prefix(net)
    assert torch.equal(net(**given).logits, logits)
    net.train()
    assert net(input_ids=given["input_ids"]).logits.shape == logits.shape
