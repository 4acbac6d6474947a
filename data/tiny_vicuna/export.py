"""Writes the trained model as a GGUF file that llama.cpp reads, with its tokenizer and chat template."""

import json
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer

from data.tiny_vicuna.model import Geometry
from data.tiny_vicuna.vocabulary import BOS, CHAT_TEMPLATE, EOS, PAD, SPECIAL
from selfguide_lite.core.files import atomic_write


def write_gguf(checkpoint: Path, tokenizer_file: Path, out: Path) -> None:
    """Write the model in Q8_0 (norms in F32).

    :param checkpoint: as `train` saves it
    """
    saved = torch.load(checkpoint, weights_only=True)
    geometry = Geometry(**saved["geometry"])
    with atomic_write(out) as temporary:
        writer = gguf.GGUFWriter(temporary, "llama")
        _describe(writer, geometry)
        _add_vocabulary(writer, Tokenizer.from_file(str(tokenizer_file)))
        for name, tensor in saved["model"].items():
            array = tensor.float().numpy()
            if array.ndim == 2:
                q8 = gguf.GGMLQuantizationType.Q8_0
                writer.add_tensor(name, gguf.quants.quantize(array, q8), raw_dtype=q8)
            else:
                writer.add_tensor(name, array.astype(np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _describe(writer: gguf.GGUFWriter, geometry: Geometry) -> None:
    writer.add_name("tiny-vicuna")
    writer.add_description("Made-up language for the tests of selfguide-lite; not a useful language model")
    writer.add_license("apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_vocab_size(geometry.vocabulary)
    writer.add_context_length(geometry.context)
    writer.add_embedding_length(geometry.width)
    writer.add_block_count(geometry.layers)
    writer.add_feed_forward_length(geometry.feed_forward)
    writer.add_head_count(geometry.heads)
    writer.add_head_count_kv(geometry.heads)
    writer.add_layer_norm_rms_eps(geometry.epsilon)
    writer.add_rope_dimension_count(geometry.width // geometry.heads)
    writer.add_rope_freq_base(geometry.rope_base)


def _add_vocabulary(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    count = tokenizer.get_vocab_size()
    tokens = [tokenizer.id_to_token(number) or "" for number in range(count)]
    merges = [" ".join(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]
    types = [gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_pad_token_id(PAD)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)
