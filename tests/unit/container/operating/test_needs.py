from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.container.operating.needs import MOST_TOKENS, RouteNeeds
from loomwire.domain.errors import LLMValidationError
from loomwire.domain.estimates.tokens import input_tokens
from loomwire.domain.values import JSON

NEEDS = st.builds(
    RouteNeeds,
    tools=st.booleans(),
    vision=st.booleans(),
    json_schema=st.booleans(),
    stream=st.booleans(),
    in_tokens=st.integers(0, 5000),
    max_tokens=st.none() | st.integers(1, 5000),
    priority=st.sampled_from(("balanced", "cost", "speed", "quality")),
)


@given(NEEDS)
def test_needs_come_out_as_they_went_in(needs: RouteNeeds) -> None:
    assert RouteNeeds.read(needs.to_dict()) == needs


@given(NEEDS)
def test_the_request_needs_just_that_and_is_as_long_as_wanted(needs: RouteNeeds) -> None:
    request = needs.request()
    assert (bool(request.tools), request.has_images, request.output is not None) == (
        needs.tools,
        needs.vision,
        needs.json_schema,
    )
    assert (request.parameters.max_tokens, request.priority) == (needs.max_tokens, needs.priority)
    least = input_tokens(RouteNeeds(tools=needs.tools, vision=needs.vision, json_schema=needs.json_schema).request())
    assert input_tokens(request) == max(needs.in_tokens, least)


def test_the_words_of_needs_are_those_of_capabilities() -> None:
    assert RouteNeeds(tools=True, stream=True).words() == ("supports_tools", "supports_streaming")
    assert RouteNeeds().words() == ()


@pytest.mark.parametrize(
    "values",
    [
        {"priority": "mine"},
        {"priority": 1},
        {"in_tokens": "many"},
        {"in_tokens": -1},
        {"in_tokens": True},
        {"in_tokens": MOST_TOKENS + 1},
        {"max_tokens": 1.5},
    ],
)
def test_what_are_no_needs_is_refused(values: dict[str, JSON]) -> None:
    with pytest.raises(LLMValidationError):
        RouteNeeds.read(values)
