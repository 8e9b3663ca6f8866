"""Answers come out of a cache as they went in, and nothing else comes out."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from types import MappingProxyType
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.application.caching.codec import FORMAT, LEFT_OUT, decoded, encoded
from loomwire.domain.messages import Reasoning
from loomwire.domain.pricing import Cost, Unpriced, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.responses import Finish, LLMResponse, RateLimits
from loomwire.domain.values import JSON, JSONObject, ToolCall
from support.mutations import ANY_JSON, mutated

TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)
MAYBE = st.none() | TEXTS
COUNTS = st.integers(min_value=0, max_value=10**12)
OBJECTS: st.SearchStrategy[JSONObject] = st.dictionaries(TEXTS, ANY_JSON, max_size=3)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, st.booleans(), st.none() | COUNTS, st.booleans())
CALLS = st.builds(ToolCall, TEXTS, TEXTS, st.none() | OBJECTS, TEXTS, MAYBE)
THOUGHTS = st.builds(Reasoning, TEXTS, MAYBE, MAYBE, MAYBE, st.none() | OBJECTS, TEXTS)
FINISHES: st.SearchStrategy[Finish | None] = st.sampled_from([None, *get_args(Finish)])
CHARGES = st.one_of(
    st.builds(Cost, COUNTS, st.booleans()), st.just(Unpriced("no_price")), st.just(Unpriced("no_usage"))
)
RESPONSES = st.builds(
    LLMResponse[str],
    output=TEXTS,
    text=TEXTS,
    provider=TEXTS,
    model=TEXTS,
    tool_calls=st.lists(CALLS, max_size=2).map(tuple),
    reasoning=st.lists(THOUGHTS, max_size=2).map(tuple),
    finish=FINISHES,
    usage=USAGES,
    cost=CHARGES,
    request_id=MAYBE,
    response_id=MAYBE,
    finish_wire=MAYBE,
    refusal=MAYBE,
    complete=st.booleans(),
    emulated=st.booleans(),
)
PLAIN = LLMResponse(output="Hello", text="Hello", provider="p", model="m", finish="stop", usage=Usage(3, 1))
FULL: LLMResponse[str] = replace(
    PLAIN,
    tool_calls=(ToolCall("1", "look", {"a": [1, 2.5, None, True]}, "", "sig"), ToolCall("2", "cut", None, '{"a')),
    reasoning=(Reasoning("hm", "sig", "red", "id", {"x": {}}, "anthropic"), Reasoning()),
    usage=Usage(1, 2, 3, 4, 5, estimated=True, reported_total=9, known=False),
    cost=Cost(17, estimated=True),
    request_id="r",
    response_id="a",
    finish_wire="end",
    refusal="no",
    emulated=True,
)


@given(RESPONSES)
def test_an_answer_comes_back_as_it_was(response: LLMResponse[str]) -> None:
    assert decoded(encoded(response)) == response


def test_the_order_and_types_of_arguments_come_back_too() -> None:
    call = decoded(encoded(FULL)).tool_calls[0]
    assert repr(call) == repr(FULL.tool_calls[0])


def test_what_belongs_to_one_call_only_is_left_out() -> None:
    step, limits = Step("attempt", "p/m", "answered"), RateLimits(1)
    said = replace(FULL, steps=(step,), rate_limits=limits, degraded=True, cached=True)
    assert decoded(encoded(said)) == FULL


def test_every_other_field_of_an_answer_is_kept() -> None:
    changed = {one.name for one in fields(LLMResponse) if getattr(FULL, one.name) != getattr(PLAIN, one.name)}
    kept = {"output", "text", "provider", "model", "finish", "complete"}
    assert changed | kept | LEFT_OUT == {one.name for one in fields(LLMResponse)}
    other = replace(FULL, output="A", text="B", provider="C", model="D", finish=None, complete=False)
    assert decoded(encoded(other)) == other


def test_mappings_and_sequences_of_any_kind_are_json() -> None:
    call = ToolCall("1", "look", MappingProxyType({"a": (1, range(2))}))
    assert decoded(encoded(replace(PLAIN, tool_calls=(call,)))).tool_calls[0].arguments == {"a": [1, [0, 1]]}


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, b"x", {1, 2}, object()], ids=["nan", "inf", "bytes", "set", "object"]
)
def test_what_json_cannot_carry_is_not_encoded_and_not_shown(value: JSON) -> None:
    call = ToolCall("1", "look", {"canary": value})
    with pytest.raises(ValueError, match="cannot carry") as caught:
        encoded(replace(PLAIN, tool_calls=(call,)))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


FIELDS: list[JSON] = json.loads(encoded(FULL))


@given(mutated(FIELDS))
def test_whatever_else_is_there_is_a_value_error_or_an_answer(fields_: JSON) -> None:
    raw = json.dumps(fields_).encode()
    try:
        response = decoded(raw)
    except ValueError:
        return
    assert decoded(encoded(response)) == response


@given(st.binary(max_size=80))
def test_bytes_of_others_are_no_answer(raw: bytes) -> None:
    with pytest.raises(ValueError, match="no answer"):
        decoded(raw)


@pytest.mark.parametrize("cut", range(0, len(encoded(FULL)), 7))
def test_a_cut_answer_is_none(cut: int) -> None:
    with pytest.raises(ValueError, match="no answer"):
        decoded(encoded(FULL)[:cut])


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, FORMAT + "0"),
        (0, None),
        (1, None),
        (2, 1),
        (3, None),
        (5, {}),
        (5, [1]),
        (5, [[1, 2, 3, 4, 5]]),
        (5, [[]]),
        (5, [["1", "n", [], "", None]]),
        (6, [["", "", "", "", "", None]]),
        (7, "ended"),
        (7, 1),
        (8, None),
        (8, [1, 2, 3, 4, 5, False, None]),
        (8, [1, 2, 3, 4, True, False, None, True]),
        (8, [1, 2, 3, 4, 5, 0, None, True]),
        (8, [1, 2, 3, 4, 5, False, "9", True]),
        (9, "free"),
        (9, [1]),
        (9, ["1", True]),
        (9, None),
        (10, 1),
        (14, None),
        (15, 1),
    ],
)
def test_a_field_of_another_type_makes_it_none(place: int, value: JSON) -> None:
    raw = json.dumps([*FIELDS[:place], value, *FIELDS[place + 1 :]]).encode()
    with pytest.raises(ValueError, match="no answer"):
        decoded(raw)


@pytest.mark.parametrize("raw", [b"[" * 100_000, b"NaN", b"\xff", json.dumps([*FIELDS, 1]).encode(), b"{}", b""])
def test_other_versions_and_bombs_are_none(raw: bytes) -> None:
    with pytest.raises(ValueError, match="no answer"):
        decoded(raw)


def test_a_number_that_is_none_within_arguments_is_no_answer() -> None:
    raw = encoded(FULL).replace(b"2.5", b"NaN")
    with pytest.raises(ValueError, match="no answer"):
        decoded(raw)
