"""vLLM: the LoRA in PEFT's form with its base, and the one command that serves both."""

from pathlib import Path

from selfguide_lite.core.files import atomic_write
from selfguide_lite.export.package import SCHEMA, Package
from selfguide_lite.export.peft_files import PeftTarget, write_prompt

SCRIPT = "serve.sh"
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM can be started for

_TEXT = """\
#!/bin/sh
# Serves the model with vLLM:  ./serve.sh [OPTIONS]
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
command -v vllm >/dev/null 2>&1 || {
  echo "serve.sh: vllm is missing. Install it on a machine with a graphics card: pip install vllm" >&2
  exit 127
}
exec vllm serve "$here/base" --served-model-name base --enable-lora --max-lora-rank %(rank)d \\
  --lora-modules %(name)s="$here" --max-model-len %(context)d "$@"
"""
_OBJECTS = """
vLLM holds answers to the JSON Schema in `%(schema)s` where a request has it as `response_format`:

```py
import json
from openai import OpenAI

prompt, schema = (json.load(open(name)) for name in ("prompt.json", "%(schema)s"))
own = prompt["input"]
asked = {"role": own["role"], "content": own["before"] + "an input" + own["after"]}
reply = OpenAI(base_url="http://localhost:8000/v1", api_key="none").chat.completions.create(
    model="%(name)s", temperature=0, max_tokens=prompt["max_tokens"], messages=[*prompt["messages"], asked],
    response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
)
print(reply.choices[0].message.content)
```
"""


class Target(PeftTarget):
    """A PEFT folder and a script."""

    summary = "a PEFT folder and the command that serves it with vLLM"

    def write(self, package: Package, folder: Path) -> None:
        """Write the prompt and the script."""
        write_prompt(package, folder)
        rank = next((rank for rank in _RANKS if rank >= package.rank), package.rank)
        with atomic_write(folder / SCRIPT) as part:
            part.write_text(_TEXT % {"rank": rank, "name": package.name, "context": package.context}, encoding="utf-8")
        (folder / SCRIPT).chmod(0o755)

    def usage(self, package: Package) -> str:
        """Return the command."""
        objects = ""
        if package.task.answer_schema is not None:
            objects = _OBJECTS % {"name": package.name, "schema": SCHEMA}
        return (
            f"```sh\n./{SCRIPT}\n```\n\n"
            f"Then ask it over OpenAI's chat API with the model `{package.name}` and temperature 0. `prompt.json` has "
            "the messages that stand before an input, and what the input's own message says before and after it.\n"
            f"{objects}"
        )
