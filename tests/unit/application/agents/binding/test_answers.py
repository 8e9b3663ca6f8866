"""What tools return becomes JSON, or an error that does not show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from loomwire.application.agents.binding.answers import as_json
from loomwire.domain.errors import ToolExecutionError
from loomwire.domain.values import JSON, FrozenDict


class Colour(Enum):
    """A value with a name."""

    RED = "red"


@dataclass(frozen=True)
class Point:
    """Two numbers."""

    x: int
    y: Decimal


class Place(BaseModel):
    """A model."""

    name: str
    since: date


JSONS: st.SearchStrategy[JSON] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSONS)
def test_json_stays_as_it_is(value: JSON) -> None:
    assert as_json(value) == value


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (Point(1, Decimal("2.50")), {"x": 1, "y": "2.50"}),
        (Place(name="Rome", since=date(2026, 1, 2)), {"name": "Rome", "since": "2026-01-02"}),
        ({Colour.RED: {Colour.RED}}, {"red": ["red"]}),
        ({1: "a", None: "b", False: "c"}, {"1": "a", "null": "b", "false": "c"}),
        ((1, "a", [None]), [1, "a", [None]]),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (time(1, 2), "01:02:00"),
        (PurePosixPath("a/b"), "a/b"),
        (UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (FrozenDict(a=1), {"a": 1}),
        (range(2), [0, 1]),
    ],
)
def test_values_of_python_become_what_a_model_can_read(value: object, wanted: JSON) -> None:
    assert as_json(value) == wanted


@pytest.mark.parametrize("value", [b"sk-secret", float("nan"), float("inf"), object(), Point, [{1: bytearray(1)}]])
def test_what_is_no_json_is_an_error_that_names_the_type_only(value: object) -> None:
    with pytest.raises(ToolExecutionError, match="which is no JSON") as caught:
        as_json(value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    ["half \ud800", {"\udfff": 1}, 10**5000, -(10**5000), {10**5000: 1}],
    ids=["text", "key", "number", "negative", "number as key"],
)
def test_what_cannot_be_written_as_json_is_an_error_of_the_tool_and_not_of_the_next_request(value: object) -> None:
    with pytest.raises(ToolExecutionError, match="cannot be written as JSON"):
        as_json(value)


def test_a_result_that_holds_itself_is_an_error() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ToolExecutionError, match="holds itself"):
        as_json(endless)
