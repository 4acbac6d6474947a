"""The task file that `selfguide init` writes: commented, and ready to run as it is."""

from collections.abc import Sequence

import yaml

from selfguide_lite.core.registry import KINDS
from selfguide_lite.kinds import kind_named
from selfguide_lite.task import Example

_HEAD = """\
# A task for selfguide-lite: an instruction and about three examples. See what it would do, then do it:
#   selfguide check {path}
#   selfguide run {path} --dry-run
#   selfguide run {path}
"""

_TAIL = """
# Texts that drop what contains one of them; with ^ in front, at a line's start alone. The default list holds a chat
# assistant's stock phrases.
# noise_terms: ["sure, here", "i hope this helps", "^here is a"]

# What differs from the defaults (docs/settings.md has them all).
# settings:
#   rounds: 20              # rounds of 40 prompts, each of which asks for an input
#   input_temperature: 0.8  # lower: more ordinary inputs, fewer of them dropped
#   epochs: 5               # how often the finetune reads each pair

# To be told the gain: at least 60 lines of JSON such as {"input": "...", "output": "..."} in a file beside this one,
# with the right answers. They are for the comparison alone: nothing is trained or chosen on them.
# eval: %(stem)s-eval.jsonl
"""


def starter(kind: str, name: str, path: str) -> str:
    """Return the text of a task file that runs as it is.

    :param kind: what its example task is
    :param name: the task's name
    :param path: as the user typed it, for the commands in its head
    """
    return _compose(kind, name, path, kind_named(kind).starter)


def written(
    kind: str, name: str, path: str, instruction: str, labels: Sequence[str], examples: Sequence[Example]
) -> str:
    """Return the text of a task file with a user's own content and the same comments."""
    content: dict[str, object] = {"instruction": instruction}
    if labels:
        content["labels"] = list(labels)
    content["examples"] = [{"input": example.input, "output": example.output} for example in examples]
    return _compose(kind, name, path, yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=100))


def _compose(kind: str, name: str, path: str, body: str) -> str:
    head = _HEAD.format(path=path) + yaml.safe_dump({"name": name}, allow_unicode=True, width=1000)
    kinds = "; ".join(f"{other}: {kind_named(other).summary}" for other in KINDS.names())
    return f"{head}kind: {kind}  # {kinds}\n\n{body}{_TAIL % {'stem': name}}"
