from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.application.embedding.kept_forms import ranking_bytes, ranking_of, vector_bytes, vector_of
from loomwire.domain.vectors.embeddings import Ranked, RerankResponse

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.text(), st.text(), st.lists(FLOATS, min_size=1, max_size=40), st.sampled_from([list, tuple, None]))
def test_a_vector_comes_back_as_it_was_by_every_bit(
    provider: str, model: str, numbers: list[float], kind: Callable[[list[float]], Sequence[float]] | None
) -> None:
    vector = array("f", numbers)
    raw = vector_bytes(provider, model, vector if kind is None else kind(numbers))
    assert raw is not None
    found = vector_of(raw)
    assert (found.provider, found.model) == (provider, model)
    assert found.vector().tobytes() == vector.tobytes()
    assert found.dimensions == len(numbers)


def test_the_numbers_are_raw_and_low_byte_first() -> None:
    raw = vector_bytes("p", "m", [1.0, -2.0])
    assert raw is not None
    assert raw.endswith(b"pm" + b"\x00\x00\x80\x3f" + b"\x00\x00\x00\xc0")


@pytest.mark.parametrize(
    "vector",
    [[0.1], [1e39], [math.nan], [], array("d", [0.1]), [2**60 + 1], ["no"], [object()]],
    ids=["rounded", "too large", "no number", "empty", "doubles", "a long number", "text", "an object"],
)
def test_what_32_bits_cannot_hold_without_loss_is_not_kept(vector: Sequence[float]) -> None:
    assert vector_bytes("p", "m", vector) is None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_not_kept(number: float) -> None:
    assert vector_bytes("p", "m", array("f", [1.0, number])) is None
    assert vector_bytes("p", "m", [1.0, number]) is None


def test_doubles_that_32_bits_can_hold_are_kept() -> None:
    raw = vector_bytes("p", "m", array("d", [0.5, -3.0]))
    assert raw is not None
    assert vector_of(raw).vector() == array("f", [0.5, -3.0])


def test_a_name_that_is_too_long_is_not_cut() -> None:
    assert vector_bytes("p" * 70_000, "m", [1.0]) is None


@given(st.binary(max_size=60))
def test_other_bytes_are_no_vector(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"vector|utf-8"):
        vector_of(raw[:1] + b"\x07" + raw)


@given(st.integers(0, 40))
def test_half_a_vector_is_no_vector(size: int) -> None:
    raw = vector_bytes("provider", "model", [1.0, 2.0, 3.0, 4.0, 5.0])
    assert raw is not None
    with pytest.raises(ValueError, match="vector"):
        vector_of(raw[:size])


def test_a_vector_without_numbers_is_none() -> None:
    with pytest.raises(ValueError, match="version"):
        vector_of(b"\x01" + bytes(8))


@given(st.lists(st.tuples(st.integers(0, 99), st.floats(allow_nan=False, allow_infinity=False)), max_size=20))
def test_a_ranking_comes_back_as_it_was(places: list[tuple[int, float]]) -> None:
    response = RerankResponse(tuple(Ranked(index, score) for index, score in places), provider="p\ud800", model="m")
    raw = ranking_bytes(response)
    assert raw is not None
    found = ranking_of(raw)
    assert (found.provider, found.model, found.results) == (response.provider, response.model, response.results)


def test_a_ranking_with_a_score_that_is_no_number_is_not_kept() -> None:
    assert ranking_bytes(RerankResponse((Ranked(0, math.nan),), provider="p", model="m")) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"v": 2, "provider": "p", "model": "m", "results": []}',
        b'{"v": 1, "provider": "p", "model": "m"}',
        b'{"v": 1, "provider": "p", "model": "m", "results": [[-1, 0.5]]}',
        b'{"v": 1, "provider": "p", "model": "m", "results": [[0]]}',
        b'{"v": 1, "provider": "p", "model": "m", "results": [[0, "1"]]}',
    ],
)
def test_other_bytes_are_no_ranking(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"ranking|JSON|codec|Expecting"):
        ranking_of(raw)
