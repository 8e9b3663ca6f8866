"""The tiny model's file is what the GGUF specification says, the same every time, and steered as promised."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tools.tiny_gguf import ALIGNMENT, END, SPECIAL, STEERED, TOOL_CALL, Shape, gguf, main

Found = str | int | float | bool | list[str] | list[int]


@dataclass
class Reader:
    """Reads a GGUF file back, by the specification and not by the writer."""

    data: bytes
    at: int = 0
    metadata: dict[str, Found] = field(default_factory=dict)
    tensors: dict[str, tuple[tuple[int, ...], int]] = field(default_factory=dict)
    weights_at: int = 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(form)
        return int(value)

    def text(self) -> str:
        size = self.number("Q")
        self.at += size
        return self.data[self.at - size : self.at].decode()

    def value(self, kind: int) -> Found:
        if kind == 8:
            return self.text()
        if kind == 9:
            below, length = self.number("I"), self.number("Q")
            if below == 8:
                return [self.text() for _ in range(length)]
            assert below == 5
            return [self.number("i") for _ in range(length)]
        if kind == 6:
            self.at += 4
            return float(struct.unpack_from("<f", self.data, self.at - 4)[0])
        return bool(self.number("?")) if kind == 7 else self.number("I")

    def read(self) -> Reader:
        assert self.data[:4] == b"GGUF"
        self.at = 4
        assert self.number("I") == 3
        tensors, entries = self.number("Q"), self.number("Q")
        for _ in range(entries):
            key = self.text()
            self.metadata[key] = self.value(self.number("I"))
        for _ in range(tensors):
            name = self.text()
            shape = tuple(self.number("Q") for _ in range(self.number("I")))
            assert self.number("I") == 0
            self.tensors[name] = (shape, self.number("Q"))
        self.weights_at = -(-self.at // ALIGNMENT) * ALIGNMENT
        return self

    def row(self, name: str, number: int) -> tuple[float, ...]:
        (columns, _), offset = self.tensors[name]
        return struct.unpack_from(f"<{columns}f", self.data, self.weights_at + offset + 4 * columns * number)


@pytest.fixture(scope="module")
def plain() -> Reader:
    return Reader(gguf()).read()


@pytest.fixture(scope="module")
def calling() -> Reader:
    return Reader(gguf(Shape(tools=True))).read()


def test_one_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    small = Shape(layers=1, width=16)
    assert gguf(small) == gguf(Shape(layers=1, width=16))
    assert gguf(small) != gguf(Shape(layers=1, width=16, seed=2))


def test_the_metadata_describes_a_llama_with_a_byte_vocabulary_that_ends_its_answers(plain: Reader) -> None:
    tokens, kinds = plain.metadata["tokenizer.ggml.tokens"], plain.metadata["tokenizer.ggml.token_type"]
    assert isinstance(tokens, list)
    assert isinstance(kinds, list)
    assert plain.metadata["general.architecture"] == "llama"
    assert len(tokens) == len(set(tokens)) == len(kinds) == plain.metadata["llama.vocab_size"] == END + len(SPECIAL)
    assert tokens[ord("a")] == "a"
    assert tokens[ord(" ")] == "\u0120"
    assert plain.metadata["tokenizer.ggml.eos_token_id"] == END
    assert tokens[END:] == list(SPECIAL)


def test_tensors_are_aligned_do_not_overlap_and_fill_the_file(plain: Reader) -> None:
    end = 0
    for shape, offset in plain.tensors.values():
        assert offset % ALIGNMENT == 0
        assert offset == end
        size = 4
        for length in shape:
            size *= length
        end = -(-(offset + size) // ALIGNMENT) * ALIGNMENT
    assert plain.weights_at + end == len(plain.data)


def test_layers_and_width_are_what_was_asked_for() -> None:
    reader = Reader(gguf(Shape(layers=3, width=32, context=512))).read()
    assert reader.metadata["llama.block_count"] == 3
    assert reader.metadata["llama.context_length"] == 512
    assert reader.tensors["blk.2.ffn_down.weight"][0] == (64, 32)
    assert "blk.3.attn_q.weight" not in reader.tensors


def test_no_layer_writes_to_the_components_that_steer(plain: Reader) -> None:
    for layer in range(2):
        for part in ("attn_output", "ffn_down"):
            for row in range(STEERED):
                assert set(plain.row(f"blk.{layer}.{part}.weight", row)) == {0.0}
            assert set(plain.row(f"blk.{layer}.{part}.weight", STEERED)) != {0.0}


def test_only_the_tools_model_is_drawn_to_tool_calls(plain: Reader, calling: Reader) -> None:
    assert plain.row("output.weight", TOOL_CALL)[1] == 0
    assert calling.row("output.weight", TOOL_CALL)[1] > calling.row("output.weight", END)[1] > 0
    assistant = END + SPECIAL.index("<|assistant|>")
    assert calling.row("token_embd.weight", assistant)[1] > calling.row("token_embd.weight", TOOL_CALL + 1)[1] > 0
    assert calling.row("token_embd.weight", ord("a"))[1] == 0


def test_the_template_of_the_tools_model_has_no_newline_after_the_tag(calling: Reader) -> None:
    template = calling.metadata["tokenizer.chat_template"]
    assert isinstance(template, str)
    assert '<tool_call>{"name"' in template


def test_the_command_writes_the_file_and_says_how_large_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.gguf"
    main([str(path), "--tools", "--layers", "1", "--width", "16", "--seed", "7"])
    assert path.read_bytes() == gguf(Shape(tools=True, layers=1, width=16, seed=7))
    assert f"{path.stat().st_size} bytes, 1 layers" in capsys.readouterr().out


@pytest.mark.parametrize("width", ["0", "10"])
def test_a_width_that_no_server_would_load_is_refused(tmp_path: Path, width: str) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "tiny.gguf"), "--width", width])
    assert list(tmp_path.iterdir()) == []
