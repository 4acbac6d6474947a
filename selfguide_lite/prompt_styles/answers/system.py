"""The instruction is the system message, and nothing else stands before the input."""

from selfguide_lite.prompt_styles.answers import bare


class Style(bare.Style):
    """The shortest prompt: many chat templates add a system message where none is given, and this one replaces it.

    A model whose chat template has no system message gets the instruction before the input, as with `bare`.
    """

    summary = "the instruction as the system message, and the input alone"
    template = "answer-system"
