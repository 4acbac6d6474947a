"""A Hugging Face model that the weights are to come from: found, and looked at before anything is loaded.

It must be the model that the GGUF was made from: rows are tokens of the GGUF, and the adapter will run on it.
"""

import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.gguf.architectures import architecture_of, check_parts
from selfguide_lite.gguf.geometry import geometry
from selfguide_lite.gguf.reader import GgufFile

_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_WANTED = ["*.json", "*.safetensors", "tokenizer.model"]  # no pickle: loading one may run code
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_INDEX = "model.safetensors.index.json"
_MOST_HEADER = 100 * 2**20
_OTHER_WORDS = 0.01  # share of a vocabulary that may be written differently
_OTHER_NORM = 0.01  # rounding to 16 bits moves a number by at most 0.4 %


def base_folder(base: str, gguf: GgufFile) -> Path:
    """Return the folder of a Hugging Face model, getting it from the hub if need be.

    :param base: a folder, or `owner/repository` at the hub
    :param gguf: the model that wrote the data
    :raises SelfguideError: where it cannot be found or is not fit to train for this GGUF
    """
    folder = Path(base)
    if not folder.is_dir():
        if not _HUB_NAME.fullmatch(base) or folder.exists():
            raise SelfguideError(f"{base}: no such folder, and not a name at the hub, which is owner/repository")
        folder = _fetch(base)
    config = _json(folder / "config.json", f"{folder}: no Hugging Face model folder: it has no config.json")
    _check_config(folder, config, gguf)
    _check_vocabulary(folder, gguf)
    _check_weights(folder, _tensors(folder), gguf, packed="quantization_config" in config)
    return folder


def _fetch(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise SelfguideError(f"{name}: no such folder, and downloading it needs huggingface_hub") from error
    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED))
    except Exception as error:  # the client has dozens of kinds
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SelfguideError(f"{name}: no such folder, and the hub does not give it: {line}") from error


def _check_config(folder: Path, config: dict[str, Any], gguf: GgufFile) -> None:
    model, shape = architecture_of(gguf), geometry(gguf)
    kind, wanted_kinds = config.get("model_type"), (model.model_type, *model.stand_ins)
    if kind not in wanted_kinds:
        raise SelfguideError(
            f"{folder}: its architecture is {kind!r}; {gguf.path.name} takes {' and '.join(wanted_kinds)}"
        )
    heads = config.get("num_attention_heads")
    wanted = {
        "num_hidden_layers": shape.layers,
        "hidden_size": shape.width,
        "intermediate_size": shape.feed_forward,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
    }
    found = {"num_key_value_heads": heads} | {key: value for key, value in config.items() if value is not None}
    for name, ours in wanted.items():
        if found.get(name) != ours:
            raise _other(folder, gguf, f"its {name} is {found.get(name)}, and that of the GGUF {ours}")
    if not isinstance(words := found.get("vocab_size"), int) or words < shape.vocabulary:
        raise _other(folder, gguf, f"its vocab_size is {words}, and that of the GGUF {shape.vocabulary}")


def _check_vocabulary(folder: Path, gguf: GgufFile) -> None:
    path = folder / "tokenizer.json"
    if not path.is_file():
        if (folder / "tokenizer.model").is_file():  # SentencePiece's own format; the size is that of the weights
            return
        raise SelfguideError(f"{folder}: has no tokenizer (tokenizer.json); get the whole folder")
    model = _json(path, f"{path}: cannot be read").get("model", {})
    theirs = model.get("vocab", {}) if isinstance(model, dict) else {}
    try:
        if isinstance(theirs, list):  # of a unigram model: pairs of token and score
            theirs = {str(entry[0]): number for number, entry in enumerate(theirs)}
        theirs = {str(token): int(number) for token, number in theirs.items()}
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise SelfguideError(f"{path}: cannot be read: its vocabulary is no list of tokens") from error
    ours: list[str] = gguf.metadata.get("tokenizer.ggml.tokens") or []
    other = sum(not (0 <= number < len(ours)) or ours[number] != token for token, number in theirs.items())
    if other > _OTHER_WORDS * len(theirs) or len(theirs) < len(ours) / 2:
        raise _other(folder, gguf, f"{other} of the {len(theirs)} tokens in its tokenizer.json are not the GGUF's")


def _tensors(folder: Path) -> dict[str, tuple[Path, int, dict[str, Any]]]:
    """Where each tensor is: file, beginning of its data, and its entry in the header."""
    if (folder / _INDEX).is_file():
        index = _json(folder / _INDEX, "").get("weight_map")
        if not isinstance(index, dict):
            raise SelfguideError(f"{folder / _INDEX}: cannot be read: it has no weight_map")
        files = sorted({folder / Path(str(name)).name for name in index.values()})
    else:
        files = [folder / "model.safetensors"]
    found: dict[str, tuple[Path, int, dict[str, Any]]] = {}
    for file in files:
        if not file.is_file():
            if any(next(folder.glob(pattern), None) for pattern in _PICKLES):
                raise SelfguideError(
                    f"{folder}: its weights are in pickle files, which may run code when loaded; "
                    "give a folder with safetensors files"
                )
            raise SelfguideError(f"{folder}: its weights are missing: there is no {file.name}")
        found |= _header(file)
    return found


def _header(file: Path) -> dict[str, tuple[Path, int, dict[str, Any]]]:
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > _MOST_HEADER:
                raise ValueError(f"a header of {length:,} bytes")
            header: dict[str, dict[str, Any]] = json.loads(opened.read(length))
        header.pop("__metadata__", None)
        end = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if (missing := end - file.stat().st_size) > 0:
            raise ValueError(f"{missing:,} bytes are missing at its end")
        return {name: (file, 8 + length, entry) for name, entry in header.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error) as error:
        raise SelfguideError(f"{file}: these weights are damaged or cut short ({error}); get them again") from error


def _check_weights(
    folder: Path, tensors: dict[str, tuple[Path, int, dict[str, Any]]], gguf: GgufFile, *, packed: bool
) -> None:
    """Every tensor must be there: what is missing would be made up at random while loading."""
    parts = check_parts(gguf, architecture_of(gguf), geometry(gguf))
    for part in parts.values():
        if part.hf not in tensors:
            if part.hf != "lm_head.weight":  # which may be tied to the embedding
                raise SelfguideError(f"{folder}: its weights lack {part.hf}; get them again")
            continue
        found, ours = tensors[part.hf][2]["shape"], list(part.shape)
        if part.gguf in ("token_embd.weight", "output.weight"):  # both may have rows that no token has
            found = [min(found[0], ours[0]), *found[1:]]
        if not packed and found != ours:
            raise _other(folder, gguf, f"its {part.hf} is {tensors[part.hf][2]['shape']}, the GGUF's {ours}")
    last = parts["output_norm.weight"]
    expected = gguf.tensor(last.gguf).ravel() - np.float32(last.offset)
    norm = _vector(*tensors[last.hf])
    scale = float(np.abs(expected).max())
    if norm is not None and not np.allclose(norm, expected, rtol=_OTHER_NORM, atol=1e-3 * scale):
        raise _other(folder, gguf, "its last norm has other weights")


def _vector(file: Path, start: int, entry: dict[str, Any]) -> npt.NDArray[np.float32] | None:
    first, last = entry["data_offsets"]
    with file.open("rb") as opened:
        opened.seek(start + first)
        data = opened.read(last - first)
    if entry["dtype"] == "BF16":  # the upper half of a 32-bit number
        return (np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    kind = {"F32": "<f4", "F16": "<f2"}.get(entry["dtype"])
    return None if kind is None else np.frombuffer(data, dtype=kind).astype(np.float32)


def _json(path: Path, missing: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SelfguideError(missing) from error
    except (OSError, ValueError, RecursionError) as error:
        raise SelfguideError(f"{path}: cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise SelfguideError(f"{path}: cannot be read: it is not a JSON object")
    return found


def _other(folder: Path, gguf: GgufFile, what: str) -> SelfguideError:
    return SelfguideError(
        f"{folder}: {what}; give the original weights of the model that {gguf.path.name} was made from"
    )
