"""Capabilities: yaml > detected > catalogue > family > provider, field by field, each with who says so."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import reduce
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.messages import Image
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool
from loomwire.domain.values import FrozenDict, Source

STRONGEST_FIRST: tuple[Source, ...] = ("yaml", "detected", "catalogue", "family", "provider")
FACTS = [f.name for f in fields(ModelCapabilities) if f.name != "sources"]
FLAG = st.none() | st.booleans()
COUNT = st.none() | st.integers(0, 10**6)
STATED = st.builds(
    ModelCapabilities,
    supports_tools=FLAG,
    supports_vision=FLAG,
    supports_streaming=FLAG,
    supports_json_mode=FLAG,
    supports_json_schema=FLAG,
    supports_system_message=FLAG,
    supports_reasoning=FLAG,
    max_tokens=COUNT,
    context_window=COUNT,
    custom_capabilities=st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def known(capabilities: ModelCapabilities) -> dict[str, object]:
    """Return the model of capabilities: a dict of what is known."""
    pairs = ((name, getattr(capabilities, name)) for name in FACTS)
    return {name: value for name, value in pairs if value is not None and value != {}}


def test_the_sources_are_the_documented_ones_strongest_first() -> None:
    assert get_args(Source) == (*STRONGEST_FIRST, "unknown")


@given(st.tuples(STATED, STATED, STATED, STATED, STATED))
def test_each_field_comes_from_the_strongest_source_that_knows_it_and_says_which(
    said: tuple[ModelCapabilities, ...],
) -> None:
    by_strength = [facts.stated_by(source) for facts, source in zip(said, STRONGEST_FIRST, strict=True)]
    merged = reduce(ModelCapabilities.over, by_strength)
    for name in FACTS:
        knowing = [
            (known(facts)[name], who) for facts, who in zip(said, STRONGEST_FIRST, strict=True) if name in known(facts)
        ]
        if knowing:
            assert (getattr(merged, name), merged.source(name)) == knowing[0]
        else:
            assert name not in known(merged)
            assert merged.source(name) == "unknown"


@given(STATED, STATED, STATED)
def test_merging_the_weaker_two_first_gives_the_same(
    a: ModelCapabilities, b: ModelCapabilities, c: ModelCapabilities
) -> None:
    yaml, detected, family = a.stated_by("yaml"), b.stated_by("detected"), c.stated_by("family")
    assert yaml.over(detected).over(family) == yaml.over(detected.over(family))


@given(STATED, STATED)
def test_a_fact_of_a_host_that_named_no_source_is_kept_all_the_same(
    own: ModelCapabilities, other: ModelCapabilities
) -> None:
    merged = own.over(other.stated_by("catalogue"))
    assert known(merged) == known(other) | known(own)
    for name in known(own):
        assert merged.source(name) == "unknown"
    assert known(other.stated_by("catalogue").over(own)) == known(own) | known(other)


@given(STATED)
def test_a_source_is_noted_for_what_is_known_and_for_nothing_else(facts: ModelCapabilities) -> None:
    stated = facts.stated_by("detected")
    assert stated.sources == dict.fromkeys(known(facts), "detected")
    assert replace(stated, sources={}) == facts
    assert facts.over(ModelCapabilities()).over(ModelCapabilities()) == facts


def test_a_source_noted_for_an_unknown_field_does_not_hide_the_one_that_knows() -> None:
    hollow = ModelCapabilities(sources={"supports_tools": "yaml"})
    merged = hollow.over(ModelCapabilities(supports_tools=True).stated_by("family"))
    assert (merged.supports_tools, merged.source("supports_tools")) == (True, "family")


def test_no_and_nothing_are_facts() -> None:
    stated = ModelCapabilities(supports_tools=False, max_tokens=0).stated_by("yaml")
    merged = stated.over(ModelCapabilities(supports_tools=True, max_tokens=9, supports_vision=True).stated_by("family"))
    assert (merged.supports_tools, merged.max_tokens, merged.supports_vision) == (False, 0, True)


def test_merged_capabilities_are_a_value_that_hashes() -> None:
    facts = ModelCapabilities(supports_tools=True, custom_capabilities=FrozenDict(for_="sql"))
    merged = facts.stated_by("yaml").over(ModelCapabilities(max_tokens=5).stated_by("family"))
    assert len({merged, replace(merged)}) == 1


PLAIN = LLMRequest.of("Hello")
WITH_TOOLS = replace(PLAIN, tools=(Tool("a"),))
WITH_PICTURE = LLMRequest.of("Look:", Image(b"png"))
WITH_SCHEMA = LLMRequest.of("hi", output=OutputSpec(schema={"type": "object"}))
WITH_JSON = LLMRequest.of("hi", output=OutputSpec())
LONG = replace(PLAIN, parameters=Parameters(max_tokens=100))


@pytest.mark.parametrize("request_", [PLAIN, WITH_TOOLS, WITH_PICTURE, LONG])
@pytest.mark.parametrize(
    "capabilities",
    [
        ModelCapabilities(),
        ModelCapabilities(supports_tools=True, supports_vision=True, max_tokens=100),
    ],
    ids=["unknown", "able"],
)
def test_an_able_or_unknown_model_gets_every_request(capabilities: ModelCapabilities, request_: LLMRequest) -> None:
    assert capabilities.unmet(request_) is None


@pytest.mark.parametrize(
    ("capabilities", "request_", "unmet"),
    [
        (ModelCapabilities(supports_vision=False), WITH_PICTURE, "vision"),
        (ModelCapabilities(supports_vision=False), WITH_TOOLS, None),
        (ModelCapabilities(supports_tools=False), WITH_TOOLS, "tools"),
        (ModelCapabilities(supports_tools=False), replace(WITH_TOOLS, tool_choice="none"), None),
        (ModelCapabilities(supports_tools=False), WITH_PICTURE, None),
        (ModelCapabilities(max_tokens=99), LONG, "max_tokens above 99"),
        (ModelCapabilities(max_tokens=99), PLAIN, None),
        (ModelCapabilities(supports_json_schema=False), WITH_SCHEMA, "json_schema"),
        (ModelCapabilities(supports_json_schema=False), WITH_JSON, None),
        (ModelCapabilities(supports_json_mode=False), WITH_JSON, "json_mode"),
        (ModelCapabilities(supports_json_mode=False), WITH_SCHEMA, None),
    ],
)
def test_only_what_the_model_is_known_not_to_do_is_named(
    capabilities: ModelCapabilities, request_: LLMRequest, unmet: str | None
) -> None:
    assert capabilities.unmet(request_) == unmet


def test_a_model_that_cannot_stream_is_named_only_when_a_stream_is_asked_for() -> None:
    capabilities = ModelCapabilities(supports_streaming=False)
    assert capabilities.unmet(PLAIN) is None
    assert capabilities.unmet(PLAIN, streamed=True) == "streaming"


@given(STATED, STATED, STATED)
def test_what_holds_for_several_does_not_depend_on_their_order(
    one: ModelCapabilities, two: ModelCapabilities, three: ModelCapabilities
) -> None:
    def bare(can: ModelCapabilities) -> ModelCapabilities:
        return replace(can, sources=FrozenDict())

    assert bare(one.common(two)) == bare(two.common(one))
    assert bare(one.common(two).common(three)) == bare(one.common(two.common(three)))
    assert bare(one.common(one)) == replace(bare(one), custom_capabilities=FrozenDict())


def test_several_models_can_what_each_of_them_can() -> None:
    one = ModelCapabilities(supports_tools=True, supports_vision=True, supports_json_mode=True, max_tokens=8)
    two = ModelCapabilities(supports_tools=True, supports_vision=False, max_tokens=4, context_window=100)
    both = one.stated_by("yaml").common(two.stated_by("catalogue"))
    assert (both.supports_tools, both.supports_vision, both.supports_json_mode) == (True, False, None)
    assert (both.max_tokens, both.context_window) == (4, 100)
    assert [both.source(name) for name in ("supports_tools", "supports_vision", "context_window")] == [
        "yaml",
        "catalogue",
        "catalogue",
    ]
