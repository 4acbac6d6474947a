"""A command of the program in this process, which has loaded much of it already."""

from click.testing import CliRunner, Result

from selfguide_lite.cli import main


def here(*words: object) -> Result:
    """Do a command, and return what it said and its exit status."""
    return CliRunner().invoke(main, [str(word) for word in words])
