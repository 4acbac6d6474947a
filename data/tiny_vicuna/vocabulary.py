"""The tiny test model's tokenizer: byte-level BPE trained on the made-up text, and its chat format (Vicuna's)."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from data.tiny_vicuna.documents import Documents
from selfguide_lite.core.messages import Message

SPECIAL = ("<s>", "</s>", "<pad>")
BOS, EOS, PAD = range(3)

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + ' ' }}"
    "{% elif message['role'] == 'user' %}{{ 'USER: ' + message['content'] + ' ' }}"
    "{% else %}{{ 'ASSISTANT: ' + message['content'] + eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def exchanges(messages: Sequence[Message]) -> list[str]:
    """Text between the control tokens of a chat: one `USER: ... ASSISTANT: ...` for each of the assistant's turns."""
    texts = [""]
    for message in messages:
        if message.role == "assistant":
            texts[-1] += f"ASSISTANT: {message.content}"
            texts.append("")
        else:
            texts[-1] += f"USER: {message.content} "
    return texts if texts[-1] else texts[:-1]


def train_tokenizer(seed: int, size: int, chats: int = 30_000) -> Tokenizer:
    """Train the tokenizer on made-up chats.

    :param size: tokens in the vocabulary, special ones included
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )

    def texts() -> Iterable[str]:
        for document in islice(Documents(seed), chats):
            yield from exchanges(document.messages)

    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer that `train_tokenizer` made and saved."""
    return Tokenizer.from_file(str(path))
