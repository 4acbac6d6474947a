"""Groups of commands that name the nearest command where one is mistyped."""

import click


class SuggestingGroup(click.Group):
    """A group whose refusal of a command says which one was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called.

        :raises click.UsageError: where there is none of that name
        """
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from difflib import get_close_matches

            from selfguide_lite.core.errors import short

            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f"did you mean {near[0]}?" if near else f"`{ctx.command_path} --help` lists them"
            ctx.fail(f"no such command {short(args[0])!r}; {hint}")
        return super().resolve_command(ctx, args)
