"""Damaged, random and hostile GGUF headers: read, or refused in one line, with bounded memory, also by llama.cpp."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from robustness_counts import count

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.resources import resource
from selfguide_lite.gguf.geometry import geometry
from selfguide_lite.gguf.random_model import Geometry, write_random_llama
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.vocabulary import check_vocabulary

pytestmark = pytest.mark.slow

TINY = resource("data/tiny_vicuna/tiny-vicuna.gguf")
_U8, _I32, _F32, _STRING, _ARRAY, _U64 = 0, 5, 6, 8, 9, 10


def header_end(path: Path) -> int:
    with GgufFile(path) as gguf:
        return min(tensor.offset for tensor in gguf.tensors.values())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf")


@pytest.fixture(scope="module")
def headers(folder: Path) -> list[tuple[bytes, int]]:
    """The headers of real files with the whole files' sizes: the tiny test model, and small random ones."""
    shape = Geometry(32, 1, 1, 1, 32)
    small = [write_random_llama(folder / f"{kind}.gguf", shape, vocabulary=kind) for kind in ("bpe", "spm")]
    return [(path.read_bytes()[: header_end(path)], path.stat().st_size) for path in (TINY, *small)]


def tried(path: Path, raw: bytes, size: int = 0) -> bool:
    """Read a header as the tool does; the tensors' data are a hole in the file. Return whether it was read."""
    with path.open("wb") as file:
        file.write(raw)
        file.truncate(max(size, len(raw)))
    count("inputs")
    try:
        with GgufFile(path) as gguf:
            assert isinstance(gguf.architecture, str)
            for name in list(gguf.tensors)[:2]:
                if gguf.tensors[name].elements < 10**6:
                    gguf.tensor(name)
            geometry(gguf)
            check_vocabulary(path)
    except SelfguideError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)
        return False
    return True


EDITS = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),  # where, as a share of the header
        st.integers(0, 8),  # how many bytes go
        st.binary(max_size=8) | st.sampled_from([b"\xff" * 8, b"\xff" * 4, b"\0" * 8, struct.pack("<Q", 2**40)]),
    ),
    min_size=1,
    max_size=4,
)


@given(which=st.integers(0, 2), edits=EDITS, shift=st.booleans())
@settings(max_examples=settings().max_examples * 2)
def test_a_mutated_header(
    which: int, edits: list[tuple[float, int, bytes]], shift: bool, headers: list[tuple[bytes, int]], folder: Path
) -> None:
    raw, size = headers[which]
    for share, gone, new in edits:
        at = int(share**2 * len(raw))  # mostly near the beginning, where the fields are
        raw = raw[:at] + new + raw[at + (gone if shift else len(new)) :]
    tried(folder / "mutated.gguf", raw, size)


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def array(kind: int, length: int, data: bytes) -> bytes:
    return struct.pack("<IIQ", _ARRAY, kind, length) + data


KINDS = st.integers(0, 13)
LENGTHS = st.integers(0, 20) | st.sampled_from([2**16, 2**31, 2**32, 2**40, 2**63, 2**64 - 1])
KEYS = st.sampled_from(
    [
        *(
            b"general.architecture",
            b"general.alignment",
            b"general.type",
            b"llama.block_count",
            b"llama.context_length",
        ),
        *(b"llama.embedding_length", b"llama.attention.head_count", b"llama.attention.head_count_kv", b"split.count"),
        *(b"llama.feed_forward_length", b"llama.expert_count", b"tokenizer.ggml.tokens", b"tokenizer.ggml.scores"),
    ]
) | st.binary(max_size=12)
VALUES = st.one_of(
    st.builds(lambda kind, data: struct.pack("<I", kind) + data, KINDS, st.binary(max_size=16)),
    st.builds(
        lambda value: struct.pack("<I", _STRING) + text(value),
        st.sampled_from([b"llama", b"model"]) | st.binary(max_size=12),
    ),
    st.builds(lambda value: struct.pack("<IQ", _U64, value), LENGTHS),
    st.builds(lambda value: struct.pack("<If", _F32, value), st.floats(width=32)),
    st.builds(array, KINDS, LENGTHS, st.binary(max_size=40)),
    st.builds(
        lambda items: array(_STRING, len(items), b"".join(map(text, items))),
        st.lists(st.binary(max_size=4), max_size=6),
    ),
)
TENSORS = st.builds(
    lambda name, shape, kind, offset: text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset),
    st.sampled_from([b"token_embd.weight", b"output.weight", b"blk.0.attn_q.weight"]) | st.binary(max_size=8),
    st.lists(LENGTHS, max_size=5),
    st.integers(0, 40),
    LENGTHS,
)


@given(
    version=st.sampled_from([3, 3, 3, 2, 1, 0, 2**31]),
    fields=st.lists(st.tuples(KEYS, VALUES), max_size=8),
    tensors=st.lists(TENSORS, max_size=4),
    more=st.sampled_from([0, 0, 0, 1, 2**16, 2**40, 2**63]),
    tail=st.binary(max_size=64),
)
def test_a_header_made_up(
    version: int, fields: list[tuple[bytes, bytes]], tensors: list[bytes], more: int, tail: bytes, folder: Path
) -> None:
    raw = b"GGUF" + struct.pack("<IQQ", version, len(tensors) + more, len(fields))
    raw += b"".join(text(key) + value for key, value in fields) + b"".join(tensors) + tail
    tried(folder / "made.gguf", raw, len(raw) + 4096)


@given(raw=st.binary(max_size=300), version=st.sampled_from([b"", b"GGUF", b"GGUF" + struct.pack("<I", 3)]))
@example(raw=b"", version=b"")
def test_any_bytes(raw: bytes, version: bytes, folder: Path) -> None:
    assert not tried(folder / "any.gguf", version + raw)


def one_field(key: bytes, value: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text(key) + value


NESTED = b"".join(struct.pack("<IQ", _ARRAY, 1) for _ in range(5000))
HOSTILE = {
    "a string of a gigabyte": one_field(b"k", struct.pack("<IQ", _STRING, 2**30)),
    "a key of a gigabyte": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**30),
    "an array of a billion bytes": one_field(b"k", array(_U8, 2**30, b"")),
    "an array of a billion numbers": one_field(b"k", array(_I32, 2**28, b"")),
    "an array of a billion texts": one_field(b"k", array(_STRING, 2**27, b"")),
    "arrays in arrays": one_field(b"k", struct.pack("<I", _ARRAY) + NESTED),
    "a billion fields": b"GGUF" + struct.pack("<IQQ", 3, 0, 2**30),
    "a billion tensors": b"GGUF" + struct.pack("<IQQ", 3, 2**30, 0),
    "a tensor of a billion dimensions": b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + text(b"t") + struct.pack("<I", 2**30),
    "a tensor of nothing": b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + text(b"t") + struct.pack("<IQIQ", 1, 0, 2, 0),
    "a tensor twice": b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + 2 * (text(b"t") + struct.pack("<IQIQ", 1, 32, 0, 0)),
    "an alignment that is a list": one_field(b"general.alignment", array(_U8, 2, b"ab")),
    "an alignment that is a text": one_field(b"general.alignment", struct.pack("<I", _STRING) + text(b"32")),
    "an alignment without end": one_field(b"general.alignment", struct.pack("<If", _F32, float("inf"))),
    "an alignment of nothing": one_field(b"general.alignment", struct.pack("<IQ", _U64, 0)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_header_made_to_harm(name: str, folder: Path) -> None:
    path = folder / "hostile.gguf"
    assert not tried(path, HOSTILE[name], 2**31)
    with pytest.raises(SelfguideError, match="damaged"):
        GgufFile(path)


def peak(code: str, *arguments: object) -> tuple[int, int, str]:
    """Run Python in a process of its own; return its status, its largest resident size in bytes and what it said."""
    command = [sys.executable, *(["-c", code] if code else ["-m", "selfguide_lite"]), *map(str, arguments)]
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss * 1024, said


READ = """
import sys
from pathlib import Path
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.gguf.reader import GgufFile
for name in sys.argv[1:]:
    try:
        GgufFile(Path(name)).close()
    except SelfguideError:
        pass
"""


def test_headers_made_to_harm_take_no_memory(folder: Path) -> None:
    paths = []
    for number, raw in enumerate(HOSTILE.values()):
        path = folder / f"hostile-{number}.gguf"
        with path.open("wb") as file:
            file.write(raw)
            file.truncate(2**31)
        paths.append(path)
    status, usual, said = peak(READ, TINY)
    assert status == 0, said
    status, most, said = peak(READ, *paths)
    assert status == 0, said
    assert most < usual + 64 * 2**20, f"{most / 2**20:.0f} MiB, usually {usual / 2**20:.0f}"
    count("inputs", len(paths))


def changed(old: bytes, new: bytes) -> bytes:
    raw = TINY.read_bytes()
    assert raw.count(old) >= 1 and len(old) == len(new)
    return raw.replace(old, new, 1)


DEEP = {
    # llama.cpp ends the process for each of these two, if it ever comes to see them
    "a token twice": (text("Ġgive".encode()), text("Ġtell".encode())),
    "a token that ends at a NUL": (text("Ġgive".encode()), text("Ġ\0ive".encode())),
    "no layer": (b"llama.block_count" + struct.pack("<II", 4, 4), b"llama.block_count" + struct.pack("<II", 4, 0)),
    "another architecture": (text(b"llama"), text(b"lamaa")),
}


@pytest.mark.parametrize("name", DEEP)
def test_commands_refuse_a_damaged_model_in_lines(name: str, folder: Path) -> None:
    path = folder / "deep.gguf"
    path.write_bytes(changed(*DEEP[name]))
    task = resource("tests/tiny_tasks/who-was-there.yaml")
    commands: list[tuple[object, ...]] = [("generate", task, "-m", path, "-d", folder / f"{name}.db", "-q")]
    if name == "a token twice":
        commands.append(("doctor", "-m", path))
    for arguments in commands:
        status, _, said = peak("", *arguments)
        assert status == 1 and "Traceback" not in said and str(path.name) in said, said
        if arguments[0] == "generate":
            assert said.startswith("Error: ") and said.count("\n") == 1, said
        count("inputs")
    status, _, said = peak("", "check", task, "-m", path)
    assert status in (0, 1) and "Traceback" not in said, said
