"""How much prompts have in common, in tokens."""


def distinct_tokens(prompts: list[list[int]]) -> int:
    """Number of different prompt beginnings: what has to be computed when nothing is computed twice."""
    total, before = 0, []  # type: ignore[var-annotated]
    for prompt in sorted(prompts):
        total += len(prompt) - common_length(prompt, before)
        before = prompt
    return total


def common_length(one: list[int], other: list[int]) -> int:
    """Number of tokens that two prompts begin with in common."""
    same = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        same += 1
    return same
