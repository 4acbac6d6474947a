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


def template_of(model: Model) -> str:
    """Return the chat template to use for a loaded model: its own, else one of ours."""
    if model.chat_template:
        return model.chat_template
    return VICUNA if model.metadata("general.architecture") == "llama" else PLAIN


def template_name(model: Model) -> str:
    """Return where a loaded model's chat template comes from, in words."""
    source = template_of(model)
    if source == VICUNA:
        return "none in the file: that of Vicuna 1.5 is used"
    if source == PLAIN:
        return "none in the file, as in a base model: a plain one is used (User: ... Assistant: ...)"
    return f"in the file, {len(source):,} characters"
