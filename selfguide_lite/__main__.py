"""`python -m selfguide_lite` is the command `selfguide`."""

from selfguide_lite.cli import main

main(prog_name="selfguide")
