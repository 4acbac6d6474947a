"""The generated references of docs/: every command with all its options, and the Python API from its docstrings."""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import click

import selfguide_lite
from selfguide_lite.cli import COMMANDS, main
from selfguide_lite.experiments.tables import markdown_table

# The order of docs/api.md; a name of the API that is in none of the groups is an error.
API: dict[str, tuple[str, ...]] = {
    "What to call": ("load_task", "run", "predict", "load", "open_store"),
    "How it is done": ("RunOptions", "PredictOptions", "EngineOptions", "Settings", "Prompts"),
    "What comes back": ("RunResult", "Predictor", "Answer", "Store"),
    "Tasks and errors": ("Task", "Example", "SelfguideError"),
}
_SUMMARY_ONLY = ("Store",)  # its methods are many: one line for each
_WRITTEN = re.compile(r"(?<![\w`-])(--[a-z][\w-]*(?: \w+=\w+)?)")  # an option as it is typed
_FIELD = re.compile(r":(param|ivar|return|returns|raises)\s*([\w.]*):\s*")


def command_table() -> str:
    """Return the commands in Markdown, each with what it does."""
    context = click.Context(main, info_name="selfguide")
    return markdown_table(
        ("command", "what it does"),
        [(f"[`{name}`](#selfguide-{name})", _command(context, name).get_short_help_str(200)) for name in COMMANDS],
    )


def command_reference() -> str:
    """Return every command in Markdown: what it does, how it is called, all its options, examples."""
    context = click.Context(main, info_name="selfguide")
    return "\n".join(line for name in COMMANDS for line in _described(_command(context, name), context, name)).strip()


def _command(context: click.Context, name: str) -> click.Command:
    found = main.get_command(context, name)
    assert found is not None
    return found


def _described(command: click.Command, parent: click.Context, name: str, level: int = 2) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    yield from ("#" * level + f" {context.command_path}", "")
    text, examples = _help_parts(command.help or "")
    yield from (text, "")
    yield from (_code(" ".join([context.command_path, *command.collect_usage_pieces(context)])), "")
    options = [one for one in command.get_params(context) if isinstance(one, click.Option)]
    records = [record for option in options if (record := option.get_help_record(context))]
    rows = [(f"`{names}`", _escaped(_WRITTEN.sub(r"`\1`", meaning))) for names, meaning in records]
    yield from (markdown_table(("option", "meaning"), rows), "")
    if examples:
        yield from ("```sh", examples, "```", "")
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from _described(found, context, child, level + 1)


def _help_parts(text: str) -> tuple[str, str]:
    """Part a command's help into what it says, in Markdown, and its examples."""
    examples = ""
    said: list[str] = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        kept = paragraph.startswith("\b\n")  # click does not wrap it
        lines = paragraph.removeprefix("\b\n").splitlines()
        if kept and lines[0] == "Examples:":
            examples = textwrap.dedent("\n".join(lines[1:]))
        elif kept:
            said.append("\n".join(["```text", *lines, "```"]))
        else:
            said.append(_escaped(" ".join(lines)))
    return "\n\n".join(said), examples


def api_reference() -> str:
    """Return the names that `selfguide_lite` exports in Markdown, from their docstrings."""
    missing = set(selfguide_lite.__all__) - {name for names in API.values() for name in names} - {"__version__"}
    if missing:
        raise ValueError(f"{', '.join(sorted(missing))}: must stand in a group of data/docs/reference.py")
    lines: list[str] = []
    for group, names in API.items():
        lines += [f"## {group}", ""]
        for name in names:
            lines += [f"### {name}", "", *_documented(name, getattr(selfguide_lite, name))]
    return "\n".join(lines).strip()


def _documented(name: str, found: Any) -> Iterator[str]:
    if not inspect.isclass(found):
        yield from (_code(_signature(_node(found))), "", *_docstring(found))
        return
    yield from (_code("\n".join(_fields(found)) or f"class {name}"), "", *_docstring(found))
    methods = [(key, member) for key, member in inspect.getmembers(found) if _is_own(key, member)]
    if name in _SUMMARY_ONLY:
        rows = [(f"`{_signature(_node(one), short=True)}`", _escaped(_summary(one))) for _, one in methods]
        yield from (markdown_table(("method", "what it does"), rows), "")
        return
    for key, member in methods:
        yield from (f"#### {name}.{key}", "", _code(_signature(_node(member))), "", *_docstring(member))


def _is_own(key: str, member: Any) -> bool:
    """Whether a member of a class is public and written in this package."""
    if key.startswith("_"):
        return False
    function = _function(member)
    return inspect.isfunction(function) and function.__module__.startswith("selfguide_lite")


def _function(member: Any) -> Any:
    return member.fget if isinstance(member, property) else inspect.unwrap(getattr(member, "__func__", member))


def _node(member: Any) -> ast.FunctionDef:
    """Return a function as it is written: its annotations then look the same with every version of Python."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(_function(member)))).body
    assert isinstance(node, ast.FunctionDef)
    return node


def _signature(node: ast.FunctionDef, short: bool = False) -> str:
    decorators = [ast.unparse(one) for one in node.decorator_list]
    for one in (*node.args.posonlyargs, *node.args.args):
        if one.arg in ("self", "cls"):
            node.args.args.remove(one)
            break
    if "property" in decorators:
        return node.name if short else f"{node.name}: {ast.unparse(node.returns)}" if node.returns else node.name
    if short:
        return f"{node.name}({', '.join(one.arg for one in (*node.args.args, *node.args.kwonlyargs))})"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"{node.name}({ast.unparse(node.args)}){returns}"
    if len(line) <= 110:
        return line
    parts = [ast.unparse(one) for one in _single(node.args)]
    return f"{node.name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"


def _single(given: ast.arguments) -> list[ast.arguments]:
    """Return each parameter with its annotation and default by itself."""

    def alone(one: ast.arg, default: ast.expr | None) -> ast.arguments:
        defaults = [] if default is None else [default]
        return ast.arguments(posonlyargs=[], args=[one], kwonlyargs=[], kw_defaults=[], defaults=defaults)

    missing: Sequence[ast.expr | None] = [None] * (len(given.args) - len(given.defaults))
    positional = list(zip(given.args, [*missing, *given.defaults], strict=True))
    return [alone(*pair) for pair in [*positional, *zip(given.kwonlyargs, given.kw_defaults, strict=True)]]


def _fields(found: type) -> Iterator[str]:
    """Yield a class with the fields that it declares, as they are written."""
    module = importlib.import_module(found.__module__)
    (node,) = [one for one in ast.parse(inspect.getsource(module)).body if getattr(one, "name", None) == found.__name__]
    assert isinstance(node, ast.ClassDef)
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    yield f"class {found.__name__}({bases})" if bases else f"class {found.__name__}"
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and not ast.unparse(one.target).startswith("_"):
            yield f"    {ast.unparse(one.target)}: {ast.unparse(one.annotation)}{_default(one.value)}"


def _default(value: ast.expr | None) -> str:
    if value is None:
        return ""
    if isinstance(value, ast.Call) and ast.unparse(value.func) in ("field", "Field"):
        given = {one.arg: ast.unparse(one.value) for one in value.keywords}
        if "default_factory" in given:
            return f" = {given['default_factory']}()"
        return f" = {given['default']}" if "default" in given else ""
    return f" = {ast.unparse(value)}"


def _summary(member: Any) -> str:
    return (inspect.getdoc(_function(member)) or "").split("\n\n")[0].replace("\n", " ")


def _docstring(member: Any) -> Iterator[str]:
    """Yield a docstring in Markdown: what it says, then its fields as a list."""
    text = inspect.getdoc(member if inspect.isclass(member) else _function(member)) or ""
    said, fields = text, ""
    if begin := _FIELD.search(text):
        said, fields = text[: begin.start()].strip(), text[begin.start() :]
    for paragraph in said.split("\n\n"):
        yield from (_escaped(paragraph.replace("\n", " ")), "")
    parts = _FIELD.split(fields)[1:]
    for kind, name, meaning in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        shown = " ".join(meaning.split())
        head = {"raises": f"raises `{name}` ", "return": "returns ", "returns": "returns "}.get(kind, f"`{name}`: ")
        yield f"- {head}{_escaped(shown)}"
    if parts:
        yield ""


def _code(text: str) -> str:
    return f"```text\n{text}\n```"


def _escaped(text: str) -> str:
    """Return text with nothing in it that Markdown would take for HTML, outside code."""
    parts = re.split(r"(`+[^`]*`+)", text)
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)
