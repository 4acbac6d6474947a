"""llama.cpp: the weights, and a shell script that asks them with llama.cpp's own program."""

import subprocess
from pathlib import Path

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.messages import Message
from selfguide_lite.export.grammar import answer_grammar
from selfguide_lite.export.package import Package
from selfguide_lite.export.shell import comment, printf_text
from selfguide_lite.task import Task

SCRIPT = "answer.sh"
LABELS, OBJECTS = "labels.gbnf", "object.gbnf"
_SECONDS = 60

_TEXT = """\
#!/bin/sh
# %(name)s: answers one input with llama.cpp's own program.
#   ./answer.sh 'THE INPUT'                  or: ./answer.sh < FILE
#   ./answer.sh --print-prompt 'THE INPUT'   shows what the model is given
#   ./answer.sh --serve [OPTIONS]            starts llama-server on these files
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
# The x keeps line ends, which the shell would cut off.
before=$(printf '%%b' %(before)s; printf x); before=${before%%x}
after=$(printf '%%b' %(after)s; printf x); after=${after%%x}

missing() {
  printf '%%s\\n' "answer.sh: $1 is missing. Install llama.cpp (brew install llama.cpp; winget install llama.cpp;" \\
    "or a build of the project's releases) and put the folder of its programs on PATH." >&2
  exit 127
}

if [ "${1-}" = --serve ]; then
  command -v llama-server >/dev/null 2>&1 || missing llama-server
  shift
  exec llama-server --model "$here/model.gguf" %(lora)s--ctx-size %(context)d "$@"
fi

print=
if [ "$#" -eq 2 ] && [ "$1" = --print-prompt ]; then print=1; shift; fi
if [ "$#" -gt 1 ]; then echo "answer.sh: give one input, between quotes" >&2; exit 2; fi
if [ "$#" -eq 1 ]; then input=$1; else input=$(cat); fi
# White space around an input is no part of it.
input=${input#"${input%%%%[![:space:]]*}"}
input=${input%%"${input##*[![:space:]]}"}
if [ -n "$print" ]; then printf '%%s' "$before$input$after"; exit; fi

# llama-cli was this program before llama-completion came; a newer one can only chat.
if command -v llama-completion >/dev/null 2>&1; then program=llama-completion
elif command -v llama-cli >/dev/null 2>&1 && llama-cli --help 2>/dev/null | grep -q -e --prompt-cache-all; then
  program=llama-cli
else missing llama-completion
fi

log=$(mktemp) || exit 1
trap 'rm -f "$log"' 0
text=$("$program" --model "$here/model.gguf" %(lora)s--ctx-size %(context)d --predict %(predict)d --temp 0 \\
  --repeat-penalty 1 --no-conversation --no-display-prompt --no-escape --simple-io %(grammar)s\\
  --prompt "$before$input$after" </dev/null 2>"$log") || {
  cat "$log" >&2
  echo "answer.sh: $program failed" >&2
  exit 1
}
text=${text%%'[end of text]'}
%(stops)stext=${text#"${text%%%%[![:space:]]*}"}
text=${text%%"${text##*[![:space:]]}"}
printf '%%s\\n' "$text"
"""

_CUT = """\
stop=$(printf '%%b' %(stop)s; printf x)
text=${text%%%%"${stop%%x}"*}
"""


class Target:
    """A script, and a grammar that lets the model write a label, or an object of the schema, and nothing else."""

    summary = "GGUF files and a script for llama.cpp's own programs"
    weights = "gguf"
    merged = "may"

    def write(self, package: Package, folder: Path) -> None:
        """Write the script and the grammar."""
        task, prompt = package.task, package.prompt
        grammar, name = answer_grammar(task, prompt.answer_begins), _grammar_file(task)
        if grammar is not None:
            with atomic_write(folder / name) as part:
                part.write_text(grammar, encoding="utf-8")
        values = {
            "name": comment(task.name),
            "before": printf_text(prompt.before),
            "after": printf_text(prompt.after),
            "lora": "" if package.merged else '--lora "$here/adapter.gguf" ',
            "context": package.context,
            "predict": package.max_tokens,
            "stops": "".join(_CUT % {"stop": printf_text(stop)} for stop in prompt.stop_texts),
            "grammar": "" if grammar is None else f'--grammar-file "$here/{name}" ',
        }
        with atomic_write(folder / SCRIPT) as part:
            part.write_text(_TEXT % values, encoding="utf-8")
        (folder / SCRIPT).chmod(0o755)

    def prompt(self, folder: Path, given: str) -> str | tuple[Message, ...]:
        """Return the prompt that the script makes: it is run, and says it."""
        command = ["sh", str(folder / SCRIPT), "--print-prompt", given]
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
        if done.returncode != 0:
            raise SelfguideError(
                f"{SCRIPT}: ended with status {done.returncode}: {done.stderr.decode(errors='replace')}"
            )
        return done.stdout.decode("utf-8", "replace")

    def grammar(self, folder: Path) -> str | None:
        """Return the grammar of the labels or of the objects."""
        found = [path for name in (LABELS, OBJECTS) if (path := folder / name).is_file()]
        return found[0].read_text(encoding="utf-8") if found else None

    def usage(self, package: Package) -> str:
        """Return the commands."""
        serve = f" --grammar-file {_grammar_file(package.task)}" if package.task.answer_schema else ""
        return (
            "Needs llama.cpp's program `llama-completion` on PATH; the script says so where it is missing.\n\n"
            f"```sh\n./{SCRIPT} 'an input'\n./{SCRIPT} < input.txt\n./{SCRIPT} --serve --port 8080{serve}\n```\n"
        )


def _grammar_file(task: Task) -> str:
    return OBJECTS if task.rules.structured else LABELS
