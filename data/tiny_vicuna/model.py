"""The llama that is trained: plain PyTorch, with the rotary embedding over neighbouring pairs, as GGUF stores llamas.

Knows nothing of text.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Geometry:
    """Sizes of the model, in units and positions."""

    vocabulary: int
    width: int = 256
    layers: int = 4
    heads: int = 8
    feed_forward: int = 768
    context: int = 512
    rope_base: float = 10000.0
    epsilon: float = 1e-5


class Norm(nn.Module):
    """Root mean square norm (arXiv 1910.07467)."""

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.epsilon)


class Block(nn.Module):
    """One layer: attention, then the gated feed-forward net."""

    def __init__(self, g: Geometry):
        super().__init__()
        self.heads = g.heads
        self.attn_norm = Norm(g.width, g.epsilon)
        self.attn_q = nn.Linear(g.width, g.width, bias=False)
        self.attn_k = nn.Linear(g.width, g.width, bias=False)
        self.attn_v = nn.Linear(g.width, g.width, bias=False)
        self.attn_output = nn.Linear(g.width, g.width, bias=False)
        self.ffn_norm = Norm(g.width, g.epsilon)
        self.ffn_gate = nn.Linear(g.width, g.feed_forward, bias=False)
        self.ffn_up = nn.Linear(g.width, g.feed_forward, bias=False)
        self.ffn_down = nn.Linear(g.feed_forward, g.width, bias=False)

    def _split(self, x: Tensor) -> Tensor:
        rows, length, width = x.shape
        return x.view(rows, length, self.heads, width // self.heads).transpose(1, 2)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x: (rows, length, width); cos, sin: (length, width / heads / 2)."""
        h = self.attn_norm(x)
        q = rotate(self._split(self.attn_q(h)), cos, sin)
        k = rotate(self._split(self.attn_k(h)), cos, sin)
        mixed = F.scaled_dot_product_attention(q, k, self._split(self.attn_v(h)), is_causal=True)
        x = x + self.attn_output(mixed.transpose(1, 2).reshape(x.shape))
        h = self.ffn_norm(x)
        gated: Tensor = self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))
        return x + gated


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of neighbouring pairs (arXiv 2104.09864). x: (rows, heads, length, head width)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2).type_as(x)


class Llama(nn.Module):
    """A llama with tied embeddings."""

    def __init__(self, g: Geometry):
        super().__init__()
        self.geometry = g
        self.token_embd = nn.Embedding(g.vocabulary, g.width)
        self.blk = nn.ModuleList(Block(g) for _ in range(g.layers))
        self.output_norm = Norm(g.width, g.epsilon)
        head = g.width // g.heads
        angle = torch.outer(torch.arange(g.context).float(), g.rope_base ** (-torch.arange(0, head, 2).float() / head))
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                last = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * g.layers) ** 0.5 if last else 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (rows, length, vocabulary) of token ids (rows, length)."""
        length = tokens.shape[1]
        x = self.token_embd(tokens)
        cos, sin = self.get_buffer("cos")[:length], self.get_buffer("sin")[:length]
        for block in self.blk:
            x = block(x, cos, sin)
        return F.linear(self.output_norm(x), self.token_embd.weight)
