"""Lays files into folders of limited size, and joins them again. Needs nothing but Python."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

MANIFEST = "manifest.json"
LARGEST = 60 * 2**20


def lay_out(files: Iterable[Path], out: Path, largest: int = LARGEST) -> list[Path]:
    """Put files into as few folders `part-1`, `part-2` ... of limited size as going by size makes, and cut large ones.

    :return: the folders
    """
    pieces = [(file, start) for file in files for start in range(0, max(file.stat().st_size, 1), largest)]
    sized = sorted(((min(largest, file.stat().st_size - start), file, start) for file, start in pieces), reverse=True)
    parts: list[tuple[int, list[tuple[Path, int]]]] = []
    for size, file, start in sized:
        place = next((n for n, (used, _) in enumerate(parts) if used + size <= largest), len(parts))
        if place == len(parts):
            parts.append((0, []))
        parts[place] = (parts[place][0] + size, [*parts[place][1], (file, start)])
    folders = []
    for number, (_, held) in enumerate(parts, 1):
        folder = out / f"part-{number}"
        folder.mkdir(parents=True)
        told = []
        for file, start in held:
            with file.open("rb") as opened:
                opened.seek(start)
                data = opened.read(largest)
            name = f"{file.name}.{start // largest:03}" if file.stat().st_size > largest else file.name
            (folder / name).write_bytes(data)
            told.append({"name": name, "file": file.name, "start": start, "sha256": hashlib.sha256(data).hexdigest()})
        whole = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file, _ in held}
        (folder / MANIFEST).write_text(json.dumps({"pieces": told, "sha256": whole}, indent=1), encoding="utf-8")
        folders.append(folder)
    return folders


def join(folder: Path, out: Path) -> list[str]:
    """Put the files of all parts in a folder together again.

    :return: the files of which pieces are missing or damaged, which are not there
    """
    out.mkdir(parents=True, exist_ok=True)
    pieces: dict[str, dict[int, Path]] = {}
    hashes: dict[str, str] = {}
    for manifest in sorted(folder.glob(f"**/{MANIFEST}")):
        told = json.loads(manifest.read_text(encoding="utf-8"))
        hashes |= told["sha256"]
        for piece in told["pieces"]:
            pieces.setdefault(piece["file"], {})[piece["start"]] = manifest.parent / piece["name"]
    lacking = []
    for name, found in pieces.items():
        digest = hashlib.sha256()
        with (out / name).open("wb") as whole:
            for _, piece in sorted(found.items()):
                data = piece.read_bytes() if piece.is_file() else b""
                digest.update(data)
                whole.write(data)
        if digest.hexdigest() != hashes[name]:
            (out / name).unlink()
            lacking.append(name)
    return lacking
