"""No function takes more than six parameters, none hides them in `**kwargs`, no file is too long to be read whole."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "selfguide_lite"
MOST_PARAMETERS = 6
MOST_LINES = 400
# transformers calls these with arguments of its own choice: callbacks, and a model's `forward`
CALLED_BY_TRANSFORMERS = {"on_train_begin", "on_step_end", "on_epoch_end", "on_log", "forward"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_command(function: Function) -> bool:
    """Whether click calls it, with one argument for each option of the command."""
    decorators = [ast.unparse(one.func if isinstance(one, ast.Call) else one) for one in function.decorator_list]
    return any(name == "click.command" or name.endswith((".command", ".group")) for name in decorators)


def parameters(function: Function) -> list[str]:
    """A function's parameters but for `self` and `cls`, positional and keyword-only ones alike."""
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def too_many(source: str, most: int = MOST_PARAMETERS) -> Iterator[str]:
    """Name every function of a module that takes more parameters, or takes them as `**kwargs`."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, Function) or is_command(node):
            continue
        if len(parameters(node)) > most:
            yield f"{node.name} takes {len(parameters(node))}"
        if node.args.kwarg is not None and node.name not in CALLED_BY_TRANSFORMERS:
            yield f"{node.name} takes **{node.args.kwarg.arg}"


def test_no_function_takes_more_than_six_parameters() -> None:
    found = {
        str(path.relative_to(ROOT)): list(too_many(path.read_text(encoding="utf-8")))
        for path in sorted(PACKAGE.rglob("*.py"))
    }
    assert {path: names for path, names in found.items() if names} == {}


def test_no_file_is_longer_than_four_hundred_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in sorted(PACKAGE.rglob("*.py"))
    }
    assert len(lengths) > 100
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_what_is_too_much_is_found() -> None:
    source = (
        "def seven(a, b, c, /, d, e, *, f, g): ...\n"
        "class A:\n"
        "    def six(self, a, b, c, d, e, f): ...\n"
        "    async def hidden(self, **more): ...\n"
        "@click.command('x')\n@option\ndef command(a, b, c, d, e, f, g): ...\n"
        "@models.command('pull')\ndef pull(a, b, c, d, e, f, g, **more): ...\n"
        "@wraps(f)\ndef wrapped(*args, **kwargs): ...\n"
    )
    assert list(too_many(source)) == ["seven takes 7", "wrapped takes **kwargs", "hidden takes **more"]
