"""The generated parts of docs/outgrowing.md: sizes and memory for more pairs and larger models."""

from dataclasses import dataclass

from data.docs.pages import SHAPES, need
from selfguide_lite.core.registry import FORMS
from selfguide_lite.dataset_files import form_named
from selfguide_lite.experiments.tables import markdown_table
from selfguide_lite.finetune.options import Bits

_INPUT_BYTES, _ANSWER_BYTES = 450, 150  # docs/robustness.md
_UNIT = 1_000  # tokens a second that the hours are for
_SIZES = ("Vicuna 7B", "Llama 2 70B")


@dataclass(frozen=True, slots=True)
class _Task:
    """A task of short texts, as an example.

    :param kept: share of the inputs that become pairs
    """

    input_tokens: int = 50
    answer_tokens: int = 20
    prompt_tokens: int = 300
    samples: int = 10
    kept: float = 0.5

    def written(self, pairs: int) -> float:
        """Return the tokens that a model writes."""
        return pairs / self.kept * (self.input_tokens + self.samples * self.answer_tokens)

    def trained(self, pairs: int) -> float:
        """Return the tokens of one pass over the pairs."""
        return pairs * (self.prompt_tokens + self.answer_tokens)

    def stored(self, pairs: int) -> float:
        """Return the bytes of the database."""
        return pairs / self.kept * (_INPUT_BYTES + self.samples * _ANSWER_BYTES)


_TASK = _Task()


def sizes_words() -> str:
    """Return what the table of sizes takes for granted."""
    return "\n".join(
        (
            f"For a task of short texts: inputs of {_TASK.input_tokens} tokens, {_TASK.samples} answers each of "
            f"{_TASK.answer_tokens} tokens, prompts of {_TASK.prompt_tokens} tokens with their examples.",
            f"{_TASK.kept:.0%} of the inputs become pairs; it is less where inputs are lost before they are answered. "
            f"A database takes {_INPUT_BYTES} bytes an input and {_ANSWER_BYTES} an answer,",
            "[measured](robustness.md) with short texts; longer texts take their length more. The hours are those "
            f"for {_UNIT:,} tokens a second, a unit and no measurement:",
            "at 20,000 tokens a second they are a twentieth.",
        )
    )


def sizes_table() -> str:
    """Return what 10^4 to 10^7 pairs take, in Markdown."""

    def hours(tokens: float) -> str:
        return f"{tokens / _UNIT / 3600:,.1f} h"

    rows = []
    for power in range(4, 8):
        pairs = 10**power
        written, trained = _TASK.written(pairs), _TASK.trained(pairs)
        rows.append(
            (
                f"10^{power}",
                f"{_TASK.stored(pairs) / 1e9:,.2f} GB",
                f"{written / 1e6:,.0f} million",
                hours(written),
                f"{trained / 1e6:,.1f} million",
                hours(trained),
            )
        )
    heads = ("pairs", "database", "tokens to write", "at the unit", "tokens of one pass", "at the unit")
    return markdown_table(heads, rows)


def memory_by_size() -> str:
    """Return what training needs on a card for 7B and 70B by the estimate that `train` makes, in Markdown."""
    cases: tuple[tuple[Bits, int, int], ...] = ((4, 1, 512), (4, 1, 2048), (4, 8, 512), (16, 1, 2048))
    return markdown_table(
        ("model", *(f"{bits} bits, {batch} x {length:,} tokens" for bits, batch, length in cases)),
        [(name, *(need(SHAPES[name], *case) for case in cases)) for name in _SIZES],
    )


def forms_table() -> str:
    """Return the forms of a record in Markdown."""
    return markdown_table(
        ("`--format`", "columns", "what it is"),
        [
            (f"`{name}`", ", ".join(f"`{column}`" for column in form_named(name).columns), form_named(name).summary)
            for name in FORMS.names()
        ],
    )
