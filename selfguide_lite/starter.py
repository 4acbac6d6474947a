"""The task file that `selfguide init` writes: commented, and ready to run as it stands."""

from collections.abc import Sequence

import yaml

from selfguide_lite.task import Example, Kind

_HEAD = """\
# A task for selfguide-lite: an instruction and about three examples. See what it would do, then do it:
#   selfguide check {path}
#   selfguide run {path} --dry-run
#   selfguide run {path}
"""

_CLASSIFICATION = """\
instruction: >-
  Please tell me what the person thinks of the thing, happy or upset.

# Every answer that is allowed. Name them in the instruction too, and show each in an example.
labels: [happy, upset]

# About three, as different from one another as the inputs you expect: their lengths set what is kept.
examples:
  - input: Rubol said the cake near the gate was wonderful.
    output: happy
  - input: Jojan found the old boat boring.
    output: upset
  - input: You know, Hokrem found the carpet nasty at first but excellent in the end.
    output: happy
"""

_GENERATION = """\
instruction: >-
  Please write a short note that says who gets what from whom.

# About three, as different from one another as the inputs you expect: their lengths set what is kept.
examples:
  - input: After supper Zumir sent a puzzle to Jorin.
    output: "For Jorin: the puzzle, from Zumir."
  - input: Vejuk lent Zitas a dog.
    output: "For Zitas: the dog, from Vejuk."
  - input: Well, Nudriben gave Kreledol a red necklace near the gate on Thursday.
    output: "For Kreledol: the necklace, from Nudriben."
"""

_TAIL = """
# Texts that drop what contains one of them; with ^ in front, at a line's start alone. The default list holds a chat
# assistant's stock phrases.
# noise_terms: ["sure, here", "i hope this helps", "^here is a"]

# What differs from the defaults (all of them: `selfguide run --help`).
# settings:
#   rounds: 40              # rounds of 10 prompts that ask for an input
#   input_temperature: 0.8  # higher: more varied inputs, more of them dropped
#   samples: 10             # answers drawn for each input; they vote
#   min_share: 0.3          # the least share of the votes that an answer needs
#   epochs: 3

# To be told the gain: lines of JSON such as {"input": "...", "output": "..."}, in a file beside this one.
# eval: %(stem)s-eval.jsonl
"""


def starter(kind: Kind, name: str, path: str) -> str:
    """Return the text of a task file that runs as it stands.

    :param kind: what its example task is
    :param name: the task's name
    :param path: as the user typed it, for the commands in its head
    """
    body = _CLASSIFICATION if kind == "classification" else _GENERATION
    return _compose(kind, name, path, body)


def written(
    kind: Kind, name: str, path: str, instruction: str, labels: Sequence[str], examples: Sequence[Example]
) -> str:
    """Return the text of a task file with a user's own content and the same comments."""
    content: dict[str, object] = {"instruction": instruction}
    if labels:
        content["labels"] = list(labels)
    content["examples"] = [{"input": example.input, "output": example.output} for example in examples]
    return _compose(kind, name, path, yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=100))


def _compose(kind: Kind, name: str, path: str, body: str) -> str:
    head = _HEAD.format(path=path) + yaml.safe_dump({"name": name}, allow_unicode=True, width=1000)
    kinds = "classification: one of a few labels; generation: free text"
    return f"{head}kind: {kind}  # {kinds}\n\n{body}{_TAIL % {'stem': name}}"
