"""Chat formats for models that bring no template of their own."""

from selfguide_lite.llm.native import Model

# Vicuna 1.5's format, for llamas that bring no template, as Vicuna's own files do not.
VICUNA = (
    "{{ bos_token }}"
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% set turns = messages[1:] %}"
    "{% else %}A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
    "detailed, and polite answers to the user's questions.{% set turns = messages %}{% endif %}"
    "{% for turn in turns %}"
    "{% if turn.role == 'assistant' %} ASSISTANT: {{ turn.content }}{{ eos_token }}"
    "{% else %}{% if loop.first %} {% endif %}USER: {{ turn.content }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)
# For other base models: nothing but who speaks, on lines of their own.
PLAIN = (
    "{{ bos_token }}"
    "{% for turn in messages %}"
    "{% if turn.role == 'system' %}{{ turn.content }}{{ '\n\n' }}"
    "{% elif turn.role == 'user' %}User: {{ turn.content }}{{ '\n' }}"
    "{% else %}Assistant: {{ turn.content }}{{ eos_token }}{{ '\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
OWN = frozenset((VICUNA, PLAIN))
# A base model does not end its turn: it writes the next one of the user too, and that is where it is stopped.
_STOPS = {PLAIN: ("\nUser:",)}


def stops_of(template: str) -> tuple[str, ...]:
    """Return the texts that end an answer in one of our templates, beside the end tokens; a model's own needs none."""
    return _STOPS.get(template, ())


def template_of(model: Model) -> str:
    """Return the chat template to use for a loaded model: its own, else one of ours."""
    if model.chat_template:
        return model.chat_template
    return VICUNA if model.metadata("general.architecture") == "llama" else PLAIN


def template_name(model: Model) -> str:
    """Return where a loaded model's chat template comes from, in words."""
    return template_note(model.chat_template, model.metadata("general.architecture")) or (
        f"in the file, {len(model.chat_template or ''):,} characters"
    )


def template_note(own: str | None, architecture: str | None) -> str | None:
    """Return which of our templates stands in for one that a model lacks, in words; None where it has one.

    :param own: the model's template
    """
    if own:
        return None
    if architecture == "llama":
        return "none in the file: that of Vicuna 1.5 is used"
    return "none in the file, as in a base model: a plain one is used (User: ... Assistant: ...)"
