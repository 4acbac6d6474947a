"""What the architectures have in common: a decoder as llama has it. Each file beside this one says what is different.

An architecture says how the GGUF's metadata becomes a Hugging Face configuration, which tensors there are, what is
changed in between, and which matrices a LoRA goes on. How llama.cpp names a tensor comes from the `gguf` package.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, TensorNameMap, get_tensor_name_map

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.gguf.geometry import Geometry
from selfguide_lite.gguf.projections import PROJECTIONS
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.rope import rope_parameters

_LAYER = "model.layers.{}.{}"
_ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
_MLP = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


@dataclass(frozen=True, slots=True)
class Part:
    """A tensor of a model, in the GGUF and in transformers.

    :param gguf: its name in the GGUF
    :param hf: its name in transformers
    :param shape: rows first, the same in both
    :param interleaved: whether the GGUF has the two halves of each head as pairs of neighbours
    :param offset: what is added to it in the GGUF
    """

    gguf: str
    hf: str
    shape: tuple[int, ...]
    interleaved: bool = False
    offset: float = 0.0


class Decoder:
    """A decoder of llama's kind; subclasses, each called `Architecture`, change what is different.

    A subclass is named by its module, which has the name that `general.architecture` gives, `-` as `_`; one in
    another package says its `name` itself.
    """

    models: ClassVar[str]
    """The models people have of this architecture, for the documents."""

    hf_class: ClassVar[str] = "LlamaForCausalLM"
    model_type: ClassVar[str] = "llama"
    """Class and `model_type` of the Hugging Face model."""

    stand_ins: ClassVar[tuple[str, ...]] = ()
    """Further values of `model_type` whose weights are named and shaped alike, for `--base`."""

    interleaved: ClassVar[bool] = False
    """Whether llama.cpp keeps the two halves of each head of q and k as pairs of neighbours."""

    norm_offset: ClassVar[float] = 0.0
    """What is added to the weights of norms in the GGUF."""

    biases: ClassVar[tuple[str, ...]] = ()
    """Modules of a layer that have a bias."""

    optional_biases: ClassVar[bool] = False
    """Whether all projections of the attention may have a bias, and all of the feed-forward part: both llama.cpp and
    transformers (`attention_bias`, `mlp_bias`) must compute them."""

    rope_tensors: ClassVar[tuple[str, ...]] = ()
    """Tensors from which llama.cpp reads a scaling of the rotary embedding, of `gguf.rope.ROPE_TENSORS`."""

    fused: ClassVar[dict[str, str]] = {}
    """Which larger matrix holds one of llama's projections, where there is one; it then has the LoRA."""

    @property
    def name(self) -> str:
        """What `general.architecture` says."""
        return type(self).__module__.rpartition(".")[2].replace("_", "-")

    def check(self, gguf: GgufFile, shape: Geometry) -> None:
        """Refuse a variety of this architecture that would not be computed alike.

        :raises SelfguideError: what is different
        """
        if shape.rotated != shape.head_dim:
            raise SelfguideError(f"{gguf.path}: only a part of each head is rotated, so it cannot be finetuned here")

    def modules(self, shape: Geometry) -> dict[str, tuple[int, ...]]:
        """Return the modules of a layer by their names in transformers, with the shapes of their weights."""
        return {
            "input_layernorm": (shape.width,),
            "self_attn.q_proj": (shape.attention, shape.width),
            "self_attn.k_proj": (shape.kv, shape.width),
            "self_attn.v_proj": (shape.kv, shape.width),
            "self_attn.o_proj": (shape.width, shape.attention),
            "post_attention_layernorm": (shape.width,),
            "mlp.gate_proj": (shape.feed_forward, shape.width),
            "mlp.up_proj": (shape.feed_forward, shape.width),
            "mlp.down_proj": (shape.width, shape.feed_forward),
        }

    def config(self, gguf: GgufFile, shape: Geometry) -> dict[str, Any]:
        """Return the Hugging Face configuration, but for tokens and number format.

        :raises SelfguideError: for settings that transformers has no equal of
        """
        return {
            "architectures": [self.hf_class],
            "model_type": self.model_type,
            "vocab_size": shape.vocabulary,
            "hidden_size": shape.width,
            "intermediate_size": shape.feed_forward,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "head_dim": shape.head_dim,
            "hidden_act": "silu",
            "max_position_embeddings": shape.context,
            "rms_norm_eps": shape.norm_epsilon,
            "rope_parameters": rope_parameters(gguf, shape),
            "attention_bias": self.optional_biases and shape.attention_bias,
            "mlp_bias": self.optional_biases and shape.mlp_bias,
            "tie_word_embeddings": shape.tied,
            "use_cache": True,
        }

    def parts(self, shape: Geometry) -> dict[str, Part]:
        """Return all tensors by their names in the GGUF."""
        names = self._names(shape.layers)
        biases = self._biases(shape)
        found = [
            self._part(names, "model.embed_tokens", (shape.vocabulary, shape.width)),
            self._part(names, "model.norm", (shape.width,), self.norm_offset),
        ]
        if not shape.tied:
            found.append(self._part(names, "lm_head", (shape.vocabulary, shape.width)))
        for layer in range(shape.layers):
            for module, dims in self.modules(shape).items():
                name = _LAYER.format(layer, module)
                found.append(self._part(names, name, dims, self.norm_offset if len(dims) == 1 else 0.0))
                if module in biases:
                    found.append(self._part(names, name, dims[:1], kind="bias"))
        return {part.gguf: part for part in found}

    def lora_targets(self, projections: Sequence[str] = PROJECTIONS) -> tuple[str, ...]:
        """Return the last names of the modules that a LoRA goes on. It never goes on embedding or output.

        :param projections: those of llama's projections that are to have one
        """
        return tuple(dict.fromkeys(self.fused.get(name, name) for name in projections))

    def lora_modules(self, shape: Geometry) -> dict[str, tuple[int, int]]:
        """Return the modules of a layer that a LoRA can go on, with the shapes of their weights."""
        targets = self.lora_targets()
        found = {name: dims for name, dims in self.modules(shape).items() if name.rpartition(".")[2] in targets}
        return {name: (dims[0], dims[1]) for name, dims in found.items()}

    def _biases(self, shape: Geometry) -> tuple[str, ...]:
        found = self.biases
        if self.optional_biases:
            found += _ATTENTION * shape.attention_bias + _MLP * shape.mlp_bias
        return found

    def _names(self, layers: int) -> TensorNameMap:
        (number,) = [number for number, name in MODEL_ARCH_NAMES.items() if name == self.name]
        return get_tensor_name_map(MODEL_ARCH(number), layers)

    def _part(
        self, names: TensorNameMap, module: str, dims: tuple[int, ...], offset: float = 0.0, kind: str = "weight"
    ) -> Part:
        name = names.get_name(module)
        if name is None:
            raise KeyError(f"the gguf package knows no {module} of {self.name}")
        interleaved = self.interleaved and module.endswith((".q_proj", ".k_proj"))
        return Part(f"{name}.{kind}", f"{module}.{kind}", dims, interleaved, offset)


def check_parts(gguf: GgufFile, model: Decoder, shape: Geometry) -> dict[str, Part]:
    """Return the tensors of a model by their names in the GGUF, which must have all of them and no others.

    :raises SelfguideError: naming a tensor that is missing, of another shape, or that training would leave out
    """
    parts = model.parts(shape)
    for name, part in parts.items():
        found = gguf.tensors.get(name)
        if found is not None and found.shape != part.shape:
            raise SelfguideError(
                f"{gguf.path}: tensor {name} should be {part.shape} and is {found.shape}; "
                f"the file is damaged or no plain {gguf.architecture}"
            )
    missing = [name for name in parts if name not in gguf.tensors]
    unknown = [name for name in gguf.tensors if name not in parts and name not in model.rope_tensors]
    if missing and unknown:
        raise SelfguideError(
            f"{gguf.path}: it has {_some(unknown)} and lacks {_some(missing)}: its matrices are split, fused or named "
            f"in another way than those of a plain {gguf.architecture}, so it cannot be finetuned here"
        )
    if missing:
        raise SelfguideError(
            f"{gguf.path}: it lacks {_some(missing)}; the file is damaged or no plain {gguf.architecture}"
        )
    if unknown:
        raise SelfguideError(
            f"{gguf.path}: {_some(unknown)} is not part of a plain {gguf.architecture} and would be left out of the "
            "training, so it cannot be finetuned here"
        )
    return parts


def _some(names: Sequence[str]) -> str:
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    return f"tensor {names[0]}{more}"
