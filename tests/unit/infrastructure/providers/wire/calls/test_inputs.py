"""Arguments and results take the form that a wire wants, and lose nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.wire.calls.inputs import (
    arguments_text,
    input_object,
    result_text,
    said_arguments,
)

TEXTS = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=3))
def test_arguments_are_written_as_text_and_read_from_an_object(arguments: dict[str, JSON]) -> None:
    assert json.loads(arguments_text(ToolCall("a", "look", arguments))) == arguments
    assert json.loads(said_arguments(arguments)) == arguments
    assert input_object(arguments, "") is arguments


@given(VALUES)
def test_a_result_is_a_text_or_json(content: JSON) -> None:
    written = result_text(content)
    assert written == content if isinstance(content, str) else json.loads(written) == content


def test_arguments_that_were_no_json_go_back_as_they_came() -> None:
    assert arguments_text(ToolCall("a", "look", None, "[1")) == "[1"
    assert input_object(None, "[1") == {"INVALID_JSON": "[1"}


@pytest.mark.parametrize(("value", "said"), [("{", "{"), (None, ""), (3, ""), ([1], "[1]")])
def test_what_is_no_text_and_no_object_says_nothing(value: object, said: str) -> None:
    assert said_arguments(value) == said
