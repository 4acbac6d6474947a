"""Ollama: one merged GGUF and a Modelfile."""

from pathlib import Path

from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.messages import Message
from selfguide_lite.export.modelfile import Modelfile
from selfguide_lite.export.package import SCHEMA, Package

FILE = "Modelfile"


class Target:
    """The template, the examples as messages, the stops, and greedy answers."""

    summary = "a merged GGUF and a Modelfile for Ollama"
    weights = "gguf"
    merged = "always"  # Ollama takes no adapters any more

    def write(self, package: Package, folder: Path) -> None:
        """Write the Modelfile."""
        parameters = [
            ("temperature", "0"),
            ("repeat_penalty", "1"),  # its default changes what is likeliest
            ("num_ctx", str(package.context)),
            ("num_predict", str(package.max_tokens)),
        ]
        made = Modelfile.of(package.prompt, "./model.gguf", parameters)
        with atomic_write(folder / FILE) as part:
            part.write_text(f"# ollama create {package.name} -f {FILE}\n{made}", encoding="utf-8")

    def prompt(self, folder: Path, given: str) -> str | tuple[Message, ...]:
        """Return the prompt as Ollama makes it of the Modelfile."""
        return Modelfile.read((folder / FILE).read_text(encoding="utf-8")).prompt(given)

    def grammar(self, folder: Path) -> str | None:
        """Return None: a Modelfile has none."""
        return None

    def usage(self, package: Package) -> str:
        """Return the commands."""
        objects = ""
        if package.task.answer_schema is not None:
            asked = '{"model":"%s","stream":false,"format":%s,"messages":[{"role":"user","content":"%s"}]}'
            objects = (
                f"\nA Modelfile cannot hold a schema, so `ollama run` writes free text. Over the API Ollama holds "
                f"answers to the JSON Schema in `{SCHEMA}`, which each request gives as `format`:\n\n"
                f"```sh\nprintf '{asked}' \\\n  {package.name} \"$(cat {SCHEMA})\" 'an input' |\n"
                "  curl -s http://localhost:11434/api/chat -d @-\n```\n"
            )
        return (
            f"```sh\nollama create {package.name} -f {FILE}\nollama run {package.name} 'an input'\n```\n\n"
            "Ask each input by itself: in a conversation the inputs before it would stand in the prompt.\n"
            f"{objects}"
        )
