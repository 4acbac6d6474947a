"""Build, and say what came of it; last a line of JSON. It goes on where it was stopped: `python -m data.cuda`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from data.cuda.build import Check, look_at, prepare
from data.cuda.wheel import pack
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.setup.lock import version_of
from selfguide_lite.setup.plan import LLAMA


@click.command()
@click.option("--architecture", default="90", show_default=True, help="Compute capability without its point.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("out/cuda"), show_default=True)
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Compilers at once.")
@click.option(
    "--flash-attention",
    type=click.Choice(["off", "f16", "default"]),
    default="off",
    show_default=True,
    help="Its kernels are a third of the files: none, those for a KV cache in 16 bits, or llama.cpp's default.",
)
@click.option(
    "--shown", type=int, default=10, show_default=True, help="Kernels that are printed; all are in kernels.txt."
)
@click.option("--wheel", is_flag=True, help="Also write the libraries as a wheel, for a machine with such a card.")
def main(architecture: str, folder: Path, jobs: int, flash_attention: str, shown: int, wheel: bool) -> None:
    """Compile llama.cpp's libraries with CUDA and list the kernels in them."""
    check = Check(folder.absolute(), architecture, flash_attention)
    try:
        prepare(check, click.echo)
        check.compile(jobs)
        built = look_at(check)
        if wheel:
            made = pack(check.source / "llama_cpp", check.build / "bin", version_of(LLAMA), check.folder)
            click.echo(f"{made}: {made.stat().st_size / 2**20:.1f} MiB")
    except SelfguideError as error:
        sys.exit(f"Error: {error}")
    for name in built.kernels[:shown]:
        click.echo(f"  {name}")
    told = asdict(built) | {"kernels": len(built.kernels)}
    click.echo(json.dumps(told))


if __name__ == "__main__":
    main()
