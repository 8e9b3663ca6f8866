"""JSON that would fill the memory or is no Unicode is refused or repaired in one cheap pass; honest answers are not."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMProtocolError
from loomwire.domain.policies import MIB
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.openai_chat.chat import OpenAIChat
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.json_bytes import (
    LARGE,
    MOST_REPAIRED,
    MOST_VALUES,
    Outside,
    parse_arguments,
    read_json,
    too_many_values,
)

ANY: msgspec.json.Decoder[JSON] = msgspec.json.Decoder()
TRICKY = st.text(alphabet='\\"{}[],:a\n', max_size=12)
VALUES = st.recursive(TRICKY, lambda inner: st.lists(inner) | st.dictionaries(TRICKY, inner), max_leaves=12)


@pytest.mark.parametrize(
    "bomb",
    [
        (b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":[', b"{},", b"0]}"),
        (b'{"choices":[{"message":{"content":[', b"[],", b'0]},"finish_reason":"stop"}]}'),
        (b'{"choices":[{"message":{"content":[', b'"ab",', b'0]},"finish_reason":"stop"}]}'),
        (b'{"choices":[{"message":{"tool_calls":[', b'{"function":{"name":"f"}},', b"{}]}}]}"),
        (b'{"choices":[{"message":{"content":"\\ud800', b"\\n", b'"},"finish_reason":"stop"}]}'),
        (b'{"choices":[{"message":{"content":"', b"\\ud800", b'"},"finish_reason":"stop"}]}'),
        (b'{"choices":[{"message":{"content":"\xff', b"\\ud83d\\ude00", b'"},"finish_reason":"stop"}]}'),
    ],
)
def test_an_answer_that_would_fill_the_memory_is_refused_before_it_does(bomb: tuple[bytes, bytes, bytes]) -> None:
    begin, unit, end = bomb
    body = begin + unit * (16 * MIB // len(unit)) + end
    answer = Answer(LLMConfig.custom("m", name="vendor"))
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(LLMProtocolError) as caught:
        OpenAIChat().decode(body, answer)
    took = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.reason in ("too_large", "protocol")
    assert peak < 32 * MIB
    assert took < 1.5


@pytest.mark.parametrize("text", ["Well, and so on, ", 'if (a[0]) { b["x"] = {}; }\n', "\\\\", "é€😀,"])
def test_a_long_honest_text_is_no_bomb_whatever_it_holds(text: str) -> None:
    body = json.dumps({"choices": [{"message": {"content": text * (4 * MIB // len(text))}}]}).encode()
    assert not too_many_values(body)
    assert read_json(body, ANY) == json.loads(body)


def test_the_bound_of_values_is_exact_for_large_json_and_does_not_hold_for_small() -> None:
    pad = '"' + "[" * LARGE + '"'
    values = f"[{pad}{',0' * (MOST_VALUES - 1)}]".encode()
    assert not too_many_values(values)
    assert too_many_values(b"[" + values)
    assert not too_many_values(b"[" * LARGE)


def test_a_bomb_inside_arguments_stays_text() -> None:
    assert parse_arguments('{"a":[' + "{}," * MOST_VALUES + "0]}") is None


@given(VALUES, st.lists(st.integers(1, 7), min_size=1))
def test_what_is_outside_texts_is_found_at_any_cut(value: JSON, cuts: Sequence[int]) -> None:
    data = json.dumps(value).encode()
    whole = Outside().feed(data)
    pieces = Outside()
    found, at, turn = b"", 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        found += pieces.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    assert found == whole
    assert whole.count(b"{") == _objects(value)


def _objects(value: JSON) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_objects, value.values()))
    return sum(map(_objects, value)) if isinstance(value, list) else 0


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (rb'"a\ud800b"', "a\ufffdb"),
        (rb'"\udc00\udc00"', "\ufffd\ufffd"),
        (rb'"\ud800\ud83d\ude00\ude00"', "\ufffd\U0001f600\ufffd"),
        (rb'"\\ud800\ud800"', "\\ud800\ufffd"),
        (rb'"\\\ud800\n"', "\\\ufffd\n"),
        (b'"\xff\\ud800\xc3"', "\ufffd\ufffd\ufffd"),
    ],
)
def test_half_a_pair_of_surrogates_is_replaced_and_nothing_else(data: bytes, text: str) -> None:
    assert read_json(data, ANY) == text
    with pytest.raises(LLMProtocolError):
        read_json(data + b" " * MOST_REPAIRED, ANY)
