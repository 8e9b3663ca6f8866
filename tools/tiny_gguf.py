"""Writes a language model of random weights as a GGUF file: half a megabyte that llama.cpp serves like any other.

    python tools/tiny_gguf.py out.gguf [--tools] [--seed N] [--layers N] [--width N] [--context N]

The words it says mean nothing; everything around them is real: tokens, usage, streams, grammars, slots. One seed gives
the same bytes everywhere. Standard library only. The format is GGUF version 3 as docs/gguf.md of the ggml project
describes it, all little endian:

    header    magic "GGUF", uint32 version, uint64 number of tensors, uint64 number of metadata entries
    metadata  key, uint32 type, value; a string is uint64 length + UTF-8, an array uint32 type + uint64 length + items
    tensors   name, uint32 number of dimensions, uint64 each (the innermost first), uint32 type, uint64 offset
    data      after padding to 32 bytes; offsets count from here, and every tensor is padded to 32 bytes too

The model is a Llama: token embedding, layers of attention and SwiGLU, norm, output. Its vocabulary is the 256 bytes as
GPT-2 writes them, without merges, and a few special tokens.

What it says is steered without a bias tensor, which this architecture does not have: two components of the embeddings
are large and no layer writes there, so the last norm sees them as they were. The first is the same for every token, and
the first column of the output matrix is thus one bias per token: words come out of letters and spaces, quotes close,
answers end by themselves after some thirty tokens. The second is set where a tool call may begin, after the mark of the
assistant and after a call, and its column makes `--tools` open `<tool_call>` there and nowhere else.
"""

from __future__ import annotations

import argparse
import random
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool | Sequence[str] | Sequence[int]

VERSION = 3
ALIGNMENT = 32
# Numbers of the value types that we write, and of the one tensor type.
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
F32 = 0
# What a token is to the tokenizer: text, a mark that is never shown, or a mark that is shown and never cut.
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4

SPECIAL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<tool_call>", "</tool_call>")
END = 256
ASSISTANT = END + SPECIAL.index("<|assistant|>")
TOOL_CALL = END + SPECIAL.index("<tool_call>")

STEERED = 2
"""How many components of an embedding belong to the steering."""

LOUD = 24.0
"""Their size; the other components are below 1, and noise stays small beside them."""

CHAT = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] or '' }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# No newline after the tag: llama.cpp takes the shape of calls from here, and a random model would not write one.
TOOLS_CHAT = (
    "{% if tools %}<|system|>{{ tools | tojson }}<|end|>{% endif %}"
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] or '' }}"
    "{% if message['tool_calls'] %}{% for call in message['tool_calls'] %}<tool_call>"
    "{\"name\": \"{{ call['function']['name'] }}\", \"arguments\": {{ call['function']['arguments'] | tojson }}}"
    "</tool_call>{% endfor %}{% endif %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What distinguishes one tiny model from another.

    Attributes:
        tools: It wants to call tools.
        seed: Of the weights.
        layers: How many.
        width: Components of an embedding; a multiple of 4 heads of even size.
        context: Tokens it says it was trained for.
        pooling: How it says a text's vectors become one, by llama.cpp's number (1 is the mean); None says nothing.
    """

    tools: bool = False
    seed: int = 1
    layers: int = 2
    width: int = 64
    context: int = 8192
    pooling: int | None = None

    @property
    def inner(self) -> int:
        """Components between the two halves of a feed-forward part."""
        return 2 * self.width


Tensor: TypeAlias = tuple[str, tuple[int, ...], "array[float]"]


def byte_letters() -> list[str]:
    """Return how GPT-2 writes each byte: itself where that can be printed, else a letter from 256 on."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def biases() -> list[float]:
    """Return what is added to each token's logit; 0 is a letter, so that a sum of 30 stands against each choice."""
    bias = [-12.0] * (END + len(SPECIAL))
    # Digits are for numbers in JSON; marks that close something beat those that go on, or JSON would never be done.
    wanted = {b"abcdefghijklmnopqrstuvwxyz": 0.0, b" ": 1.5, b'"': 0.5, b"0123456789": -3.0, b"}]": -2.0, b",": -3.0}
    for letters, value in wanted.items():
        for byte in letters:
            bias[byte] = value
    bias[END] = 0.0
    # Likelier than writing the tag letter by letter, and still rare in free text.
    bias[TOOL_CALL + 1] = -6.0
    return bias


def openings(shape: Shape) -> tuple[dict[int, float], dict[int, float]]:
    """Return how loudly a token says that a call may begin, and how much that adds to a token's logit.

    After the assistant's mark a call is thousands of times likelier than the end; after a call, at half the loudness,
    the two are even, because the call's bias is 12 below the end's and its weight 24 above.
    """
    if not shape.tools:
        return {}, {}
    return {ASSISTANT: LOUD, TOOL_CALL + 1: LOUD / 2}, {TOOL_CALL: 50.0, END: 26.0}


def tensors(shape: Shape) -> Iterator[Tensor]:
    """Yield name, dimensions and weights, in the order of the file."""
    noise = random.Random(shape.seed)
    width, inner = shape.width, shape.inner
    tokens = END + len(SPECIAL)

    def matrix(name: str, columns: int, rows: int, scale: float) -> Tensor:
        return name, (columns, rows), array("f", (noise.uniform(-scale, scale) for _ in range(columns * rows)))

    def writing(name: str, columns: int) -> Tensor:
        weights = matrix(name, columns, width, 0.2)
        weights[2][: STEERED * columns] = array("f", bytes(4 * STEERED * columns))
        return weights

    def steered(weights: Tensor, first: Sequence[float], second: Mapping[int, float]) -> Tensor:
        for row, value in enumerate(first):
            weights[2][row * width] = value
            weights[2][row * width + 1] = second.get(row, 0.0)
        return weights

    def ones(name: str) -> Tensor:
        return name, (width,), array("f", [1.0] * width)

    says, wanted = openings(shape)
    yield steered(matrix("token_embd.weight", width, tokens, 1.0), [LOUD] * tokens, says)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        yield ones(f"{block}attn_norm.weight")
        for part in ("attn_q", "attn_k", "attn_v"):
            yield matrix(f"{block}{part}.weight", width, width, 0.2)
        yield writing(f"{block}attn_output.weight", width)
        yield ones(f"{block}ffn_norm.weight")
        yield matrix(f"{block}ffn_gate.weight", width, inner, 0.2)
        yield matrix(f"{block}ffn_up.weight", width, inner, 0.2)
        yield writing(f"{block}ffn_down.weight", inner)
    yield ones("output_norm.weight")
    # The norm brings the first component close to the root of the width, whatever the small ones are.
    root = width**0.5
    opening = {token: value / root for token, value in wanted.items()}
    yield steered(matrix("output.weight", width, tokens, 0.5), [value / root for value in biases()], opening)


def metadata(shape: Shape) -> Mapping[str, Value]:
    """Return what llama.cpp wants to know before it reads weights. Whole numbers are uint32, lists of them int32."""
    shown = {TOOL_CALL, TOOL_CALL + 1}
    special = [USER_DEFINED if END + place in shown else CONTROL for place in range(len(SPECIAL))]
    return {
        "general.architecture": "llama",
        "general.name": "tiny",
        "general.alignment": ALIGNMENT,
        "llama.vocab_size": END + len(SPECIAL),
        "llama.context_length": shape.context,
        "llama.embedding_length": shape.width,
        "llama.block_count": shape.layers,
        "llama.feed_forward_length": shape.inner,
        "llama.attention.head_count": 4,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": shape.width // 4,
        **({} if shape.pooling is None else {"llama.pooling_type": shape.pooling}),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": [*byte_letters(), *SPECIAL],
        "tokenizer.ggml.token_type": [NORMAL] * END + special,
        # Two letters that never meet in text: the key has to be there, and an empty list has no type.
        "tokenizer.ggml.merges": [f"{byte_letters()[0]} {byte_letters()[1]}"],
        "tokenizer.ggml.bos_token_id": END,
        "tokenizer.ggml.eos_token_id": END,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TOOLS_CHAT if shape.tools else CHAT,
    }


def text(words: str) -> bytes:
    """Return a string of the format."""
    data = words.encode()
    return struct.pack("<Q", len(data)) + data


def typed(value: Value) -> bytes:
    """Return a metadata value with its type in front."""
    if isinstance(value, bool):
        return struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", UINT32, value)
    if isinstance(value, float):
        return struct.pack("<If", FLOAT32, value)
    if isinstance(value, str):
        return struct.pack("<I", STRING) + text(value)
    words = [item for item in value if isinstance(item, str)]
    if words:
        return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(text, words))
    return struct.pack(f"<IIQ{len(value)}i", ARRAY, INT32, len(value), *value)


def padded(data: bytes) -> bytes:
    """Return data filled up with zeros to the alignment."""
    return data + bytes(-len(data) % ALIGNMENT)


def little(weights: array[float]) -> bytes:
    """Return 32-bit floats, little endian on every machine."""
    return struct.pack(f"<{len(weights)}f", *weights)


def gguf(shape: Shape = Shape()) -> bytes:
    """Return the whole file."""
    entries = metadata(shape)
    infos, data = b"", b""
    count = 0
    for name, dimensions, weights in tensors(shape):
        infos += text(name) + struct.pack("<I", len(dimensions)) + struct.pack(f"<{len(dimensions)}Q", *dimensions)
        infos += struct.pack("<IQ", F32, len(data))
        data += padded(little(weights))
        count += 1
    head = b"GGUF" + struct.pack("<IQQ", VERSION, count, len(entries))
    head += b"".join(text(key) + typed(value) for key, value in entries.items())
    return padded(head + infos) + data


def main(arguments: Sequence[str] | None = None) -> None:
    """Write one file and say how large it is."""
    parser = argparse.ArgumentParser(description="Write a language model of random weights as a GGUF file.")
    parser.add_argument("file", type=Path, help="where to write it")
    parser.add_argument("--tools", action="store_true", help="a model that calls tools whenever it may")
    parser.add_argument("--seed", type=int, default=1, help="of the weights")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--width", type=int, default=64, help="components of an embedding, a multiple of 8")
    parser.add_argument("--context", type=int, default=8192, help="tokens it says it was trained for")
    given = parser.parse_args(arguments)
    if given.width < 8 or given.width % 8:
        parser.error("--width must be a multiple of 8")
    shape = Shape(tools=given.tools, seed=given.seed, layers=given.layers, width=given.width, context=given.context)
    data = gguf(shape)
    given.file.write_bytes(data)
    print(f"{given.file}: {len(data)} bytes, {shape.layers} layers, {END + len(SPECIAL)} tokens")


if __name__ == "__main__":
    main()
