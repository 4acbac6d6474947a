"""`python -m data.tiny_vicuna`: train the tiny test model, write it as GGUF and write its tasks."""

import argparse
from pathlib import Path

from data.tiny_vicuna.demo import write_demo_tasks
from data.tiny_vicuna.export import write_gguf
from data.tiny_vicuna.train import Recipe, train

_HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("out/tiny-vicuna"), help="where the training keeps its files"
    )
    parser.add_argument("--model", type=Path, default=_HERE / "tiny-vicuna.gguf", help="the GGUF file to write")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="optimizer steps (%(default)s)")
    parser.add_argument("--only", choices=("train", "gguf", "tasks"), help="one part alone")
    arguments = parser.parse_args()
    if arguments.only in (None, "train"):
        train(arguments.folder, Recipe(steps=arguments.steps))
    if arguments.only in (None, "gguf"):
        write_gguf(arguments.folder / "checkpoint.pt", arguments.folder / "tokenizer.json", arguments.model)
    if arguments.only in (None, "tasks"):
        write_demo_tasks(_HERE.parent.parent / "tests" / "tiny_tasks")
