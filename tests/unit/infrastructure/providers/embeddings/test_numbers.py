from __future__ import annotations

import json
from array import array
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import LLMProtocolError
from loomwire.domain.pricing import NO_USAGE
from loomwire.domain.vectors.embeddings import EmbedRequest
from loomwire.infrastructure.providers.embeddings.numbers import (
    MOST_DIMENSIONS,
    check_vectors,
    in_order,
    input_usage,
    read_vectors,
    vector,
)
from loomwire.infrastructure.providers.wire.json_bytes import MOST_VALUES

NUMBERS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20)
ONE = array("f", [1.0])


@given(NUMBERS)
def test_numbers_and_base64_are_the_same_vector(numbers: list[float]) -> None:
    packed = array("f", numbers)
    assert vector(numbers) == packed == vector(b64encode(packed.tobytes()).decode())


@pytest.mark.parametrize("text", ["!!!!", "AAAA", "AAAAAA==x", "é", "AA"])
def test_base64_that_is_none_or_holds_no_whole_numbers_is_a_protocol_error(text: str) -> None:
    with pytest.raises(LLMProtocolError, match="no float32 in base64"):
        vector(text)


@given(st.permutations(range(5)))
def test_vectors_come_in_the_order_of_their_indexes(order: Sequence[int]) -> None:
    vectors = [array("f", [float(index)]) for index in order]
    assert [each[0] for each in in_order(order, vectors)] == [0, 1, 2, 3, 4]
    assert [each[0] for each in in_order([float(index) for index in order], vectors)] == [0, 1, 2, 3, 4]


def test_without_indexes_they_stay_as_they_came() -> None:
    vectors = [array("f", [2.0]), ONE]
    assert in_order([None, None], vectors) is vectors


@pytest.mark.parametrize("indexes", [[0, 0], [1, 2], [0, None], [0, "1"], [-1, 0], [0, {}]])
def test_indexes_that_are_not_one_for_each_are_a_protocol_error(indexes: list[object]) -> None:
    with pytest.raises(LLMProtocolError, match="not one for each text"):
        in_order(indexes, [ONE, ONE])


@pytest.mark.parametrize(
    ("vectors", "dimensions", "says"),
    [
        ([], None, "0 vectors came for 2 texts"),
        ([ONE], None, "1 vectors came for 2 texts"),
        ([ONE, ONE, ONE], None, "3 vectors came"),
        ([ONE, array("f")], None, "vectors of 0, 1 numbers"),
        ([array("f"), array("f")], None, "vectors of 0 numbers"),
        ([ONE, array("f", [float("nan")])], None, "not finite"),
        ([ONE, array("f", [float("inf")])], None, "not finite"),
        ([array("f", [1.0, 2.0]), array("f", [float("inf"), float("-inf")])], None, "not finite"),
        ([ONE, ONE], 2, "vectors of 1 numbers came, and 2 were asked for"),
    ],
)
def test_vectors_that_cannot_be_are_a_protocol_error(
    vectors: list[array[float]], dimensions: int | None, says: str
) -> None:
    with pytest.raises(LLMProtocolError, match=says):
        check_vectors(vectors, EmbedRequest.of("a", "b", dimensions=dimensions))


def test_the_largest_float32_is_finite() -> None:
    most = array("f", [3.4e38] * 1000)
    check_vectors([most, most], EmbedRequest.of("a", "b"))


def test_more_numbers_than_any_model_has_are_not_read() -> None:
    decoder = msgspec.json.Decoder(list[float])
    fits = b"[" + b"1," * (MOST_VALUES + MOST_DIMENSIONS) + b"1]"
    assert len(read_vectors(fits, 1, decoder)) == MOST_VALUES + MOST_DIMENSIONS + 1
    with pytest.raises(LLMProtocolError, match="more than 16384 numbers for each text") as caught:
        read_vectors(fits.replace(b"]", b",1]"), 1, decoder)
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1,", b"[NaN]", b"[1e999]", b"[null]", b'["1"]', b"\xff", b"{}"])
def test_what_is_no_list_of_numbers_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(LLMProtocolError, match="the server's answer") as caught:
        read_vectors(body, 1, msgspec.json.Decoder(list[float]))
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("sent", "total", "tokens"),
    [(5, None, 5), (5, 9, 5), (None, 7, 7), (None, None, None), ("x", "y", None), (-1, None, 0)],
)
def test_usage_is_what_the_server_says(sent: object, total: object, tokens: int | None) -> None:
    usage = input_usage(sent, total)
    if tokens is None:
        assert usage == NO_USAGE
    else:
        assert (usage.input_tokens, usage.output_tokens, usage.known) == (tokens, 0, True)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=8))
def test_no_json_gives_an_untyped_error(value: object) -> None:
    body = json.dumps(value).encode()
    with suppress(LLMProtocolError):
        read_vectors(body, 1, msgspec.json.Decoder(list[float]))
