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
  Say whether the guest of the hotel is happy or unhappy with what they write about.

# Every answer that is allowed, each with a few words on what it means: the model reads them when it writes inputs.
labels:
  happy: the guest liked it
  unhappy: the guest did not like it

# About three, as different from one another as the inputs you expect: their lengths set what is kept.
examples:
  - input: The room was spotless and the view over the harbour alone was worth the price.
    output: happy
  - input: We asked twice for towels and nobody came.
    output: unhappy
  - input: >-
      It took an hour to check in. After that, though, everybody was kind to us, and the breakfast was the best
      that we had on the whole trip.
    output: happy
  - input: Never again. The wall was so thin that I heard every word of the film next door.
    output: unhappy
"""

_GENERATION = """\
instruction: >-
  Turn the note into one polite sentence to a colleague.

# About three, as different from one another as the inputs you expect: their lengths set what is kept.
examples:
  - input: report late - need it monday
    output: The report is late, so could you please send it to me by Monday?
  - input: printer 2nd floor broken again, tell IT
    output: The printer on the second floor is broken again, so could you please tell IT?
  - input: thx for slides, meeting moved to 3 pm, bring numbers for may
    output: Thank you for the slides; the meeting has moved to 3 pm, so please bring the numbers for May.
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
