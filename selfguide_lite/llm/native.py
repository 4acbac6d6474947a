"""llama.cpp's models, vocabularies and contexts as Python objects. All calls into the C API are made here.

Knows nothing of requests, sampling or chat.
"""

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.machine import cores
from selfguide_lite.gguf.vocabulary import check_vocabulary
from selfguide_lite.llm.context_options import ContextOptions

Tokens = npt.NDArray[np.int32]
Logits = npt.NDArray[np.float32]
State = npt.NDArray[np.uint8]

_CACHE_TYPES = {"f16": llama_cpp.GGML_TYPE_F16, "q8_0": llama_cpp.GGML_TYPE_Q8_0, "q4_0": llama_cpp.GGML_TYPE_Q4_0}
NO_ROOM = 1  # llama_decode: no free cells for this batch, nothing was changed

_UNKNOWN, _CONTROL, _USER_DEFINED = 1 << 0, 1 << 3, 1 << 4  # llama_token_attr
_SPM = 1  # llama_vocab_type

_last_errors: list[str] = []


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _: object) -> None:
    """Keep llama.cpp quiet, and its last errors for our own message."""
    if level == 4:  # GGML_LOG_LEVEL_ERROR
        _last_errors.append(text.decode("utf-8", "replace").strip())
        del _last_errors[:-8]


@contextmanager
def _quietly() -> Iterator[None]:
    """Route llama.cpp's log to `_log`, whoever set it last."""
    _last_errors.clear()
    llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))
    yield


def _why() -> str:
    """The last error that names a cause rather than what failed because of it."""
    told = [line for line in _last_errors if line and "failed to" not in line]
    text = (told or _last_errors or [""])[-1].rpartition("error loading model: ")[2]
    return f" ({text})" if text else ""


def _bytes(state: State) -> Any:
    return state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))


def library_description() -> str:
    """Return llama.cpp's version and what of the processor it uses."""
    features = llama_cpp.llama_print_system_info().decode("utf-8", "replace")
    return f"{llama_cpp.__version__} {features}"


class Model:
    """A GGUF file loaded by llama.cpp.

    :param path: the GGUF file
    :param vocab_only: load no weights; enough to tokenize
    :param gpu_layers: layers to offload; negative: all
    :raises SelfguideError: where the file is missing or no model
    """

    def __init__(self, path: Path, *, vocab_only: bool = False, gpu_layers: int = -1):
        self.path = path
        self._handle: Any = None
        try:
            with path.open("rb") as file:
                magic = file.read(4)
        except OSError as error:
            raise SelfguideError(f"{path}: cannot read this model: {error.strerror}") from error
        if magic != b"GGUF":
            raise SelfguideError(f"{path}: this is not a GGUF file; give a llama.cpp model (.gguf)")
        check_vocabulary(path)
        with _quietly():
            llama_cpp.llama_backend_init()
            params = llama_cpp.llama_model_default_params()
            params.vocab_only = vocab_only
            params.n_gpu_layers = gpu_layers
            self._handle = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
        if not self._handle:
            raise SelfguideError(f"{path}: llama.cpp cannot load this model{_why()}")
        self.vocabulary = Vocabulary(llama_cpp.llama_model_get_vocab(self._handle))

    @property
    def handle(self) -> Any:
        """The C pointer."""
        if not self._handle:
            raise SelfguideError(f"{self.path}: this model was closed")
        return self._handle

    def metadata(self, key: str) -> str | None:
        """Return a value of the file's key-value part as text."""
        size = 1024
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = llama_cpp.llama_model_meta_val_str(self.handle, key.encode(), buffer, size)
            if length < 0:
                return None
            if length < size:
                return buffer.value.decode("utf-8", "replace")
            size = length + 1

    @cached_property
    def chat_template(self) -> str | None:
        """The Jinja2 source that the file brings, if any."""
        source = llama_cpp.llama_model_chat_template(self.handle, None)
        return source.decode("utf-8", "replace") if source else None

    @property
    def trained_context(self) -> int:
        """Number of tokens the model was trained to see."""
        return int(llama_cpp.llama_model_n_ctx_train(self.handle))

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return int(llama_cpp.llama_model_n_params(self.handle))

    @property
    def layers(self) -> int:
        """Number of transformer blocks."""
        return int(llama_cpp.llama_model_n_layer(self.handle))

    @property
    def size(self) -> int:
        """Bytes of weights."""
        return int(llama_cpp.llama_model_size(self.handle))

    @property
    def cell_bytes(self) -> int:
        """Bytes that a token takes in a KV cache (16 bits a number)."""
        heads = max(1, llama_cpp.llama_model_n_head(self.handle))
        width = llama_cpp.llama_model_n_embd(self.handle) * llama_cpp.llama_model_n_head_kv(self.handle) // heads
        return int(2 * 2 * self.layers * width)

    def close(self) -> None:
        """Free the weights. Contexts must be closed before."""
        if self._handle:
            llama_cpp.llama_model_free(self._handle)
            self._handle = None


class Vocabulary:
    """A model's tokens.

    :param handle: the C pointer; valid as long as its model is open
    """

    def __init__(self, handle: Any):
        self._handle = handle
        self.size = int(llama_cpp.llama_vocab_n_tokens(handle))
        self.bos = int(llama_cpp.llama_vocab_bos(handle))
        self.eos = int(llama_cpp.llama_vocab_eos(handle))
        self.eot = int(llama_cpp.llama_vocab_eot(handle))
        self.add_bos = bool(llama_cpp.llama_vocab_get_add_bos(handle)) and self.bos >= 0
        self.sentencepiece = int(llama_cpp.llama_vocab_type(handle)) == _SPM
        self._pieces: dict[int, bytes] = {}

    @cached_property
    def _attributes(self) -> list[int]:
        get = llama_cpp.llama_vocab_get_attr
        return [int(get(self._handle, token)) for token in range(self.size)]

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end a generation."""
        ends = llama_cpp.llama_vocab_is_eog
        return frozenset(token for token in range(self.size) if ends(self._handle, token))

    @cached_property
    def control_tokens(self) -> dict[str, int]:
        """Tokens that are no text, by the name they have in a chat template."""
        marks = _CONTROL | _UNKNOWN
        found = [t for t, attr in enumerate(self._attributes) if attr & marks or t in self.end_tokens]
        return {name: token for token in found if (name := self.text(token))}

    @cached_property
    def control_ids(self) -> frozenset[int]:
        """The ids of `control_tokens`; the unknown token, which stands for text, is none of them."""
        return frozenset(t for t in self.control_tokens.values() if not self._attributes[t] & _UNKNOWN)

    @cached_property
    def named_tokens(self) -> dict[str, int]:
        """Control tokens and those like `<|turn|>` that a model's makers added to the vocabulary, by name."""
        added = [t for t, attr in enumerate(self._attributes) if attr & _USER_DEFINED]
        marks = {name: t for t in added if len(name := self.text(t)) > 2 and name[0] + name[-1] in ("<>", "[]")}
        return self.control_tokens | marks

    def text(self, token: int) -> str:
        """Return a token's own name, such as `</s>`."""
        name = llama_cpp.llama_vocab_get_text(self._handle, token)
        return name.decode("utf-8", "replace") if name else ""

    def piece(self, token: int) -> bytes:
        """Return the bytes that a token stands for; none for control tokens."""
        found = self._pieces.get(token)
        if found is None:
            buffer = ctypes.create_string_buffer(256)
            length = llama_cpp.llama_token_to_piece(self._handle, token, buffer, 256, 0, False)
            if length < 0:
                buffer = ctypes.create_string_buffer(-length)
                length = llama_cpp.llama_token_to_piece(self._handle, token, buffer, -length, 0, False)
            found = self._pieces[token] = buffer.raw[: max(0, length)]
        return found

    def tokenize(self, text: str, *, control: bool = False) -> list[int]:
        """Split text into tokens as llama.cpp does, nothing added but a SentencePiece vocabulary's first space.

        The result can hold control tokens where the text spells one; `chat.ChatFormat` keeps that from happening.

        :param control: whether all control tokens that the text spells are meant, as llama.cpp's programs take prompts
        """
        data = text.encode("utf-8", "surrogatepass")
        size = len(data) + 8
        buffer = (llama_cpp.llama_token * size)()
        count = llama_cpp.llama_tokenize(self._handle, data, len(data), buffer, size, False, control)
        if count < 0:
            size = -count
            buffer = (llama_cpp.llama_token * size)()
            count = llama_cpp.llama_tokenize(self._handle, data, len(data), buffer, size, False, control)
        if count < 0:
            raise SelfguideError(f"llama.cpp cannot tokenize a text of {len(data)} bytes")
        return list(buffer[:count])


class Context:
    """A KV cache and the buffers to compute with, all sequences in one unified cache.

    :raises SelfguideError: where memory does not suffice
    """

    def __init__(self, model: Model, options: ContextOptions):
        self.model = model
        self.options = options
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = options.cells
        params.n_batch = params.n_ubatch = options.batch
        params.n_seq_max = options.sequences
        params.kv_unified = True
        params.flash_attn_type = 1 if options.flash else 0
        params.type_k = params.type_v = _CACHE_TYPES[options.cache]
        params.n_threads = params.n_threads_batch = options.threads or cores()
        params.no_perf = True
        with _quietly():
            self._handle: Any = llama_cpp.llama_init_from_model(model.handle, params)
        if not self._handle:
            raise SelfguideError(
                f"{model.path}: not enough memory for a context of {options.cells} tokens{_why()}; use a smaller one"
            )
        self._memory = llama_cpp.llama_get_memory(self._handle)
        self.cells = int(llama_cpp.llama_n_ctx(self._handle))
        self._adapter: Any = None
        self._make_batch()

    def _make_batch(self) -> None:
        size = self.options.batch
        self.token = np.zeros(size, np.int32)
        self.pos = np.zeros(size, np.int32)
        self._n_seq = np.ones(size, np.int32)
        self.output = np.zeros(size, np.int8)
        self.seq = np.zeros(size, np.int32)
        # each token's list of sequences lies in `seq`, or in `_many` for tokens of several sequences
        self._own = self.seq.ctypes.data + 4 * np.arange(size, dtype=np.uint64)
        self._lists = self._own.copy()
        self._many = np.zeros(0, np.int32)
        as_pointer = ctypes.POINTER
        self._batch = llama_cpp.llama_batch(
            n_tokens=0,
            token=self.token.ctypes.data_as(as_pointer(ctypes.c_int32)),
            embd=None,
            pos=self.pos.ctypes.data_as(as_pointer(ctypes.c_int32)),
            n_seq_id=self._n_seq.ctypes.data_as(as_pointer(ctypes.c_int32)),
            seq_id=self._lists.ctypes.data_as(as_pointer(as_pointer(ctypes.c_int32))),
            logits=self.output.ctypes.data_as(as_pointer(ctypes.c_int8)),
        )

    def decode(self, count: int, shared: Sequence[Sequence[int]] | None = None) -> bool:
        """Compute the first `count` tokens of `token`, `pos`, `seq` and `output`.

        :param shared: the sequences of each token, where tokens belong to several
        :return: False where the KV cache has no room; nothing was changed then
        :raises SelfguideError: where llama.cpp fails
        """
        if shared is not None:
            lengths = np.fromiter((len(s) for s in shared), np.int32, count)
            self._many = np.fromiter((seq for s in shared for seq in s), np.int32, int(lengths.sum()))
            starts = np.zeros(count, np.uint64)
            np.cumsum(lengths[:-1], out=starts[1:])
            self._lists[:count] = self._many.ctypes.data + 4 * starts
            self._n_seq[:count] = lengths
        self._batch.n_tokens = count
        status = llama_cpp.llama_decode(self._handle, self._batch)
        if shared is not None:
            self._lists[:count] = self._own[:count]
            self._n_seq[:count] = 1
        if status not in (0, NO_ROOM):
            raise SelfguideError(f"{self.model.path}: llama.cpp failed to compute a batch (status {status}){_why()}")
        return bool(status == 0)

    def logits(self, rows: int) -> Logits:
        """Return the last call's logits, shape (rows, vocabulary). A view: the next call overwrites it."""
        pointer = llama_cpp.llama_get_logits(self._handle)
        return np.ctypeslib.as_array(pointer, shape=(rows, self.model.vocabulary.size))

    def copy(self, source: int, target: int, length: int) -> None:
        """Let sequence `target` begin with the first `length` tokens of `source`. Takes no room."""
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def cut(self, sequence: int, length: int = 0) -> None:
        """Forget all of a sequence but its first `length` tokens."""
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, length, -1)

    def save(self, sequence: int) -> State:
        """Return a copy of what is computed of a sequence, as bytes in llama.cpp's own form."""
        state = np.empty(llama_cpp.llama_state_seq_get_size(self._handle, sequence), np.uint8)
        llama_cpp.llama_state_seq_get_data(self._handle, _bytes(state), state.size, sequence)
        return state

    def restore(self, sequence: int, state: State) -> bool:
        """Give an empty sequence what was saved of another. False, and nothing changed, where there is no room."""
        with _quietly():
            return bool(llama_cpp.llama_state_seq_set_data(self._handle, _bytes(state), state.size, sequence))

    def clear(self) -> None:
        """Forget everything."""
        llama_cpp.llama_memory_clear(self._memory, False)

    def set_adapter(self, path: Path | None, scale: float = 1.0) -> None:
        """Use a GGUF LoRA adapter from now on, or none.

        :raises SelfguideError: where the file is no adapter for this model
        """
        adapter = None
        if path is not None:
            if not path.is_file():
                raise SelfguideError(f"{path}: no such adapter file")
            with _quietly():
                adapter = llama_cpp.llama_adapter_lora_init(self.model.handle, os.fsencode(path))
            if not adapter:
                raise SelfguideError(f"{path}: this is no GGUF adapter for {self.model.path.name}{_why()}")
        handles = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter) if adapter else None
        scales = (ctypes.c_float * 1)(scale) if adapter else None
        status = llama_cpp.llama_set_adapters_lora(self._handle, handles, 1 if adapter else 0, scales)
        if status != 0:
            raise SelfguideError(f"{path}: llama.cpp cannot apply this adapter (status {status}){_why()}")
        if self._adapter:
            llama_cpp.llama_adapter_lora_free(self._adapter)
        self._adapter = adapter
        self.clear()

    @property
    def threads(self) -> int:
        """Processor threads of a call."""
        return int(llama_cpp.llama_n_threads(self._handle))

    @threads.setter
    def threads(self, count: int) -> None:
        llama_cpp.llama_set_n_threads(self._handle, count, count)

    def synchronize(self) -> None:
        """Wait until everything is computed (a GPU works on its own)."""
        llama_cpp.llama_synchronize(self._handle)

    def close(self) -> None:
        """Free the context."""
        if self._handle:
            llama_cpp.llama_free(self._handle)
            self._handle = None
