"""Cuts what a model thinks aloud from what it answers."""

_MARKS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]"))


def without_thinking(text: str) -> str:
    """Return a text without the thinking block at its beginning; one that is not closed goes to the end.

    A block whose opening mark stands in the prompt has its closing one alone.
    """
    for opening, closing in _MARKS:
        before, closed, answer = text.partition(closing)
        opens = text.lstrip().startswith(opening)
        if closed and (opens or opening not in before):
            return answer.strip()
        if opens:
            return ""
    return text
