"""Writes the networks as GGUF files of architecture `bitnet`, as llama.cpp and bitnet.cpp read them."""

import struct

import numpy
import torch

from bpe import END
from network import ternary

# Types of values and of tensors in the format.
U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
TENSOR_F32, TENSOR_F16, TENSOR_I2_S = 0, 1, 36
FILE_F16, FILE_I2_S = 1, 40
NORMAL, CONTROL = 1, 3
ALIGNMENT = 32


def write(path, network, tokenizer, name):
    """Writes a network: ternary layers as I2_S, other matrices as F16, norms as F32."""
    tensors = []
    for key, value in network.state_dict().items():
        key = key if key.endswith(".weight") else key + ".weight"
        shape = list(reversed(value.shape))
        if value.dim() == 1:
            tensors.append((key, shape, TENSOR_F32, value.numpy().astype("<f4").tobytes()))
        elif not (network.is_ternary and key.startswith("blk.")):
            tensors.append((key, shape, TENSOR_F16, value.numpy().astype("<f2").tobytes()))
        else:
            tensors.append((key, shape, TENSOR_I2_S, i2_s(*ternary(value))))
    with open(path, "wb") as out:
        values = metadata(network.shape, tokenizer, name, FILE_I2_S if network.is_ternary else FILE_F16)
        out.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values)))
        for key, kind, value in values:
            out.write(text(key) + struct.pack("<I", kind) + packed(kind, value))
        offset = 0
        for key, shape, kind, data in tensors:
            out.write(text(key) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset))
            offset += len(data) + -len(data) % ALIGNMENT
        for *_, data in tensors:
            out.write(bytes(-out.tell() % ALIGNMENT) + data)
        out.write(bytes(-out.tell() % ALIGNMENT))


def i2_s(weights, scale):
    """Packs ternary weights: of each 128, byte m holds m, m + 32, m + 64, m + 96 from the top; then 32 bytes for the scale."""
    codes = (weights.flatten() + 1).to(torch.uint8).numpy().reshape(-1, 4, 32)
    codes = codes << numpy.array([6, 4, 2, 0], dtype=numpy.uint8)[:, None]
    return numpy.bitwise_or.reduce(codes, axis=1).tobytes() + struct.pack("<f28x", float(scale))


def metadata(shape, tokenizer, name, file_type):
    values = [
        ("general.architecture", STRING, "bitnet"),
        ("general.name", STRING, name),
        ("general.file_type", U32, file_type),
        ("general.alignment", U32, ALIGNMENT),
        ("bitnet.vocab_size", U32, shape.vocabulary),
        ("bitnet.context_length", U32, shape.context),
        ("bitnet.embedding_length", U32, shape.hidden),
        ("bitnet.feed_forward_length", U32, shape.ffn),
        ("bitnet.block_count", U32, shape.layers),
        ("bitnet.attention.head_count", U32, shape.heads),
        ("bitnet.attention.head_count_kv", U32, shape.kv_heads),
        ("bitnet.attention.key_length", U32, shape.head),
        ("bitnet.attention.value_length", U32, shape.head),
        ("bitnet.attention.layer_norm_rms_epsilon", F32, shape.epsilon),
        ("bitnet.rope.dimension_count", U32, shape.head),
        ("bitnet.rope.freq_base", F32, shape.rope_base),
        ("tokenizer.ggml.model", STRING, "gpt2"),
        ("tokenizer.ggml.pre", STRING, "gpt-2"),
        ("tokenizer.ggml.tokens", ARRAY, (STRING, tokenizer.vocabulary)),
        ("tokenizer.ggml.token_type", ARRAY, (I32, [CONTROL if t == END else NORMAL for t in tokenizer.vocabulary])),
        ("tokenizer.ggml.merges", ARRAY, (STRING, [" ".join(pair) for pair in tokenizer.merges])),
    ]
    end = tokenizer.ids[END]
    values += [(f"tokenizer.ggml.{which}_token_id", U32, end) for which in ("bos", "eos", "padding")]
    return [*values, ("tokenizer.ggml.add_bos_token", BOOL, False)]


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def packed(kind, value):
    if kind == STRING:
        return text(value)
    if kind == ARRAY:
        kind, values = value
        return struct.pack("<IQ", kind, len(values)) + b"".join(packed(kind, value) for value in values)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], value)
