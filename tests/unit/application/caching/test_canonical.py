"""One text for what is equal on the wire, and another one for everything else."""

from __future__ import annotations

import ast
import math
from collections import OrderedDict, UserDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import NamedTuple

import pytest
from hypothesis import given

from loomwire.application.caching.canonical import Unordered, canonical, silent_fields
from loomwire.domain.config import LLMConfig
from loomwire.domain.messages import Image, Message, Text
from loomwire.domain.requests import LLMRequest, Parameters
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, FrozenDict, Secret
from support.mutations import ANY_JSON


class Colour(str, Enum):  # noqa: UP042  # as hosts of older Pythons write it
    """A text that is more than a text."""

    RED = "red"


class Size(IntEnum):
    """A number that is more than a number."""

    SMALL = 1


class Share(float):
    """As numpy's numbers are."""


class Pair(NamedTuple):
    """A list on the wire."""

    one: int
    two: int


@dataclass(frozen=True)
class Nothing:
    """Without a field."""


@dataclass(frozen=True, slots=True)
class Tomorrow(Tool):
    """A tool with a field that somebody adds."""

    examples: tuple[str, ...] = field(default=(), kw_only=True)


EQUAL: tuple[tuple[object, object], ...] = (
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ([1, 2], (1, 2)),
    ([1, 2], deque([1, 2])),
    ([1, 2], Pair(1, 2)),
    ({"a": 1}, FrozenDict(a=1)),
    ({"a": 1}, MappingProxyType({"a": 1})),
    ({"a": {"b": 1}}, OrderedDict(a=UserDict(b=1))),
    ("red", Colour.RED),
    ({"red": 1}, {Colour.RED: 1}),
    (1, Size.SMALL),
    (0.5, Share(0.5)),
    (b"x", bytearray(b"x")),
    ({1, 2}, frozenset({2, 1})),
    (Unordered(("b", "a", "a")), Unordered(("a", "b"))),
    (LLMConfig(type="t", model="m", keys=(Secret("a"), Secret("b"))),
     LLMConfig(type="t", model="m", keys=(Secret("b"), Secret("a")))),
)  # fmt: skip

DIFFERENT: tuple[object, ...] = (
    True, 1, 1.0, "1", b"1", None, "", "None", [], {}, [[]], [None], [1, 2], [2, 1], ["1", "2"], ["1, 2"], ["1', '2"],
    {"1": 2}, {"a": None}, {"a": {}}, {"a": []}, 0, 0.0, -0.0, False, math.inf, math.nan, 10**30, "😀", "\ud83d\ude00",
    "\\ud83d\\ude00", "é", "e\u0301", "\n", "\\n", "\x00", Text(""), Text("1"), ["Text text", ["1"]], Text("Text"),
    ("bytes", "x"), {"bytes": "x"}, Secret("1"), Secret("2"), {1}, frozenset({"1"}), Unordered((1,)), Nothing(),
    Tool("a"), Tool("a", "b"), Tomorrow("a"), Tomorrow("a", examples=("b",)), Image(b"1"), Image(b"2"),
    Parameters(temperature=0), Parameters(temperature=0.0), Parameters(top_p=0),
)  # fmt: skip


@pytest.mark.parametrize("pair", EQUAL, ids=lambda pair: type(pair[1]).__name__)
def test_what_is_equal_on_the_wire_has_one_text(pair: tuple[object, object]) -> None:
    assert canonical(pair[0]) == canonical(pair[1])


def test_no_two_different_values_have_one_text() -> None:
    texts = [canonical(value) for value in DIFFERENT]
    assert len(set(texts)) == len(texts)


@given(ANY_JSON, ANY_JSON)
def test_a_text_can_be_read_back_so_that_no_two_json_values_share_one(one: JSON, other: JSON) -> None:
    assert repr(ast.literal_eval(canonical(one))) == canonical(one)
    assert (canonical(one) == canonical(other)) == (repr(_sorted(one)) == repr(_sorted(other)))


def _sorted(value: JSON) -> object:
    if isinstance(value, Mapping):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "value", [object(), {1: 2}, {True: 1}, {None: 1}, {"a": 1, 2: 3}, [object()], Tool, 1j, {"a": canonical}]
)
def test_what_is_no_json_has_no_text(value: object) -> None:
    with pytest.raises(TypeError):
        canonical(value)


def test_what_is_too_deep_or_holds_itself_has_no_text() -> None:
    deep: JSON = "x"
    for _ in range(100_000):
        deep = [deep]
    ring: dict[str, object] = {}
    ring["ring"] = ring
    for value in (deep, ring):
        with pytest.raises(RecursionError):
            canonical(value)


def test_a_field_that_somebody_adds_is_in_the_text_without_an_edit() -> None:
    assert "examples" in canonical(Tomorrow("a"))
    assert canonical(Tomorrow("a", examples=("x",))) != canonical(Tomorrow("a", examples=("y",)))


@pytest.mark.parametrize("kind", [LLMRequest, LLMConfig, Message, Parameters])
def test_every_field_is_in_the_text_but_for_those_that_change_no_answer(kind: type) -> None:
    values = {LLMRequest: LLMRequest.of("x"), LLMConfig: LLMConfig(type="t", model="m")}
    text = canonical(values.get(kind, Message.user("x") if kind is Message else Parameters()))
    named = text[text.index("'") + 1 : text.index("',")].split()[1:]
    assert set(named) == {one.name for one in fields(kind)} - silent_fields(kind)


def test_a_secret_and_a_picture_are_not_in_the_text() -> None:
    text = canonical([Secret("sk-canary-1234"), Image(b"canary")])
    assert "canary" not in text


def test_more_classes_than_are_remembered_have_their_texts_all_the_same() -> None:
    kinds: list[type] = [dataclass(frozen=True)(type(f"Kind{number}", (Nothing,), {})) for number in range(300)]
    assert len({canonical(kind()) for kind in kinds}) == 300
