"""Says which settings and options have new names, and still takes an option's old one."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

import click


def say_renamed(notes: Iterable[str]) -> None:
    """Say on standard error that settings or options have new names: each once a command, none where it is quiet."""
    context = click.get_current_context(silent=True)
    said: set[str] = set() if context is None else context.meta.setdefault(f"{__name__}.renamed", set())
    for note in notes:
        if note not in said and not (context is not None and context.params.get("quiet")):
            click.echo(note, err=True)
        said.add(note)


class RenamedOptions(click.Command):
    """A command that still accepts its options' old names, which its help does not list.

    Set `old_names`: old name to new one, dashes included.
    """

    old_names: ClassVar[Mapping[str, str]] = {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words given, the old names as the new ones.

        :raises click.UsageError: where an option is given under both names
        """
        end = args.index("--") if "--" in args else len(args)
        names = [word.partition("=")[0] for word in args[:end]]
        old = [name for name in dict.fromkeys(names) if name in self.old_names]
        for name in old:
            if self.old_names[name] in names:
                raise click.UsageError(f"{name} and {self.old_names[name]} are the same option; remove {name}", ctx)
        words = [self.old_names.get(name, name) + word[len(name) :] for name, word in zip(names, args, strict=False)]
        left = super().parse_args(ctx, words + args[end:])
        say_renamed(f"option {name} is now called {self.old_names[name]}" for name in old)
        return left


class TrainCommand(RenamedOptions):
    """The command `train`."""

    old_names: ClassVar[Mapping[str, str]] = {
        "--accumulation": "--gradient-accumulation-steps",
        "--max-length": "--max-seq-length",
        "--checkpointing": "--gradient-checkpointing",
        "--no-checkpointing": "--no-gradient-checkpointing",
    }
