"""Trains the tiny test model from nothing, on chats that are made up as it goes.

Goes on from its checkpoint where there is one.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from data.tiny_vicuna.documents import Document, Documents
from data.tiny_vicuna.model import Geometry, Llama
from data.tiny_vicuna.vocabulary import BOS, EOS, PAD, exchanges, load_tokenizer, train_tokenizer

LENGTHS = (128, 192, 256, 384, 512)
ELSEWHERE = 0.1  # loss weight of what the assistant does not say


@dataclass(frozen=True)
class Recipe:
    """What makes the model what it is."""

    seed: int = 1
    vocabulary: int = 1280
    width: int = 256
    layers: int = 4
    heads: int = 8
    feed_forward: int = 768
    steps: int = 3200
    tokens_per_step: int = 8192
    muon_rate: float = 0.02
    adam_rate: float = 3e-3
    warm_up: int = 100
    decay_share: float = 0.5


def encode(tokenizer: Tokenizer, document: Document) -> tuple[list[int], list[float]]:
    """Token ids of a chat and the loss weight of each."""
    ids, weights = [BOS], [0.0]
    for text, weight in zip(exchanges(document.messages), document.weights, strict=True):
        encoding = tokenizer.encode(text, add_special_tokens=False)
        answer = text.index("ASSISTANT:") + len("ASSISTANT:")
        ids += [*encoding.ids, EOS]
        weights += [weight if start >= answer else ELSEWHERE for start, _ in encoding.offsets]
        weights.append(weight)
    return ids, weights


def batches(tokenizer: Tokenizer, seed: int, tokens: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches (ids, weights), each (rows, length) for one of `LENGTHS`, padded at the end."""
    waiting: dict[int, list[tuple[list[int], list[float]]]] = {length: [] for length in LENGTHS}
    for document in Documents(seed):
        ids, weights = encode(tokenizer, document)
        length = next((length for length in LENGTHS if len(ids) <= length + 1), None)
        if length is None:
            continue
        waiting[length].append((ids, weights))
        rows = tokens // length
        if len(waiting[length]) == rows:
            batch = torch.full((rows, length + 1), PAD)
            weight = torch.zeros(rows, length + 1)
            for row, (ids, weights) in enumerate(waiting[length]):
                batch[row, : len(ids)] = torch.tensor(ids)
                weight[row, : len(ids)] = torch.tensor(weights)
            waiting[length] = []
            yield batch, weight


def rate(step: int, recipe: Recipe) -> float:
    """Learning rate as a share of its peak: warm-up, level, linear decay at the end."""
    decay = int(recipe.steps * recipe.decay_share)
    return min((step + 1) / recipe.warm_up, 1.0, max(recipe.steps - step, 1) / decay)


def train(folder: Path, recipe: Recipe) -> None:
    """Train to the end of the recipe.

    :param folder: holds the tokenizer, the checkpoint and the log
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    tokenizer_file, checkpoint_file = folder / "tokenizer.json", folder / "checkpoint.pt"
    if not tokenizer_file.exists():
        train_tokenizer(recipe.seed, recipe.vocabulary).save(str(tokenizer_file))
    tokenizer = load_tokenizer(tokenizer_file)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Llama(
        Geometry(tokenizer.get_vocab_size(), recipe.width, recipe.layers, recipe.heads, recipe.feed_forward)
    ).to(device)
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "token_embd" not in name]
    others = [p for name, p in model.named_parameters() if p.dim() != 2 or "token_embd" in name]
    optimizers = [
        torch.optim.Muon(matrices, lr=recipe.muon_rate, weight_decay=0.01, momentum=0.95),
        torch.optim.AdamW(others, lr=recipe.adam_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    peaks = (recipe.muon_rate, recipe.adam_rate)
    first = 0
    if checkpoint_file.exists():
        saved = torch.load(checkpoint_file, weights_only=True)
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        first = int(saved["step"])

    def losses_of(ids: Tensor) -> Tensor:
        with torch.autocast(device, dtype=torch.bfloat16):
            logits = model(ids[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")

    compiled = torch.compile(losses_of)
    stream = batches(tokenizer, recipe.seed + 1000 + first, recipe.tokens_per_step)
    started, seen = time.time(), 0
    for step in range(first, recipe.steps):
        ids, weights = (tensor.to(device) for tensor in next(stream))
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * rate(step, recipe)
        losses = compiled(ids)
        weight = weights[:, 1:].flatten()
        loss = (losses * weight).sum() / weight.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen += ids.numel()
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"step {step}: the loss is {loss.item()}")
        if (step + 1) % 20 == 0:
            said = weight == 1
            everywhere, speed = losses[weight > 0].mean().item(), seen / (time.time() - started)
            line = f"step {step + 1} said {losses[said].mean().item():.3f} all {everywhere:.3f} {speed:.0f} tok/s"
            print(line, flush=True)
            with (folder / "log.txt").open("a") as log:
                log.write(line + "\n")
        if (step + 1) % 100 == 0 or step + 1 == recipe.steps:
            state = {
                "model": model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                "step": step + 1,
                "geometry": asdict(model.geometry),
            }
            torch.save(state, checkpoint_file.with_suffix(".new"))
            checkpoint_file.with_suffix(".new").replace(checkpoint_file)
