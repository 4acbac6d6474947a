"""Terms that show that a text is not what was asked for."""

from selfguide_lite.core.matching import has_noise
from selfguide_lite.task.model import Task

# Stock phrases of a chat assistant, the words of our own prompts, and marks that belong to no text. A term that begins
# with ^ counts at a line's start alone: an e-mail may say what is here, and a sentence may have the word "input".
NOISE_TERMS: tuple[str, ...] = (
    "sure, i'd be happy to",
    "sure, i can help",
    "i'd be happy to help",
    "i'm happy to help",
    "sure, here",
    "sure! here",
    "^certainly! here",
    "^of course! here",
    "great question",
    "i hope this helps",
    "as an ai language model",
    "as an ai assistant",
    "^as an ai ",
    "^as an ai,",
    "^i'm sorry, but i can",
    "^here is the",
    "^here's the",
    "^here is a",
    "^here's a",
    "^here are ",
    "^here is one",
    "^here's one",
    "^write one",
    "^write another",
    "write another, different",
    "different one whose answer",
    "new, different input",
    "possibly flawed",
    "good inputs:",
    "^input:",
    "^output:",
    "^answer:",
    "\n\n",
    "\\_",
)
# The paper's own list (arXiv 2407.12874, appendix): stock phrases, and the marks that its prompts use, anywhere.
PAPER_NOISE_TERMS: tuple[str, ...] = (
    "sure, i'd be happy to help",
    "sure, here",
    "i'd be happy to",
    "great question",
    "i hope this helps",
    "as an ai",
    "let me know if",
    "here is the",
    "here's the",
    "input",
    "output",
    "\n\n",
    "\\_",
)


def effective_noise_terms(task: Task) -> tuple[str, ...]:
    """Return the noise terms in force for a task: its own, or the default list.

    Of a default list, terms that an example or a label holds are left out: they would drop the very texts that the
    examples ask for.
    """
    if task.noise_terms is not None:
        return task.noise_terms
    terms = PAPER_NOISE_TERMS if task.settings.noise_list == "paper" else NOISE_TERMS
    texts = [text for example in task.examples for text in (example.input, example.output)] + list(task.labels)
    return tuple(term for term in terms if not any(has_noise(text, term) for text in texts))
