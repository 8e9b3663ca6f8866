from __future__ import annotations

from dataclasses import replace

import pytest

from loomwire.application.selection.narrowing import Needs, narrowed
from loomwire.application.selection.options import options_of
from loomwire.application.state.targets import TargetStates
from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.messages import Image
from loomwire.domain.policies import CataloguePolicy
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool
from loomwire.testing import FakeClock
from support.chains import HI
from support.falling import at, client_of

TOOLS = LLMRequest.of("Hi", tools=(Tool("look", "Look.", {"type": "object", "properties": {}}),))
PICTURE = LLMRequest.of(Image(b"png"))
SCHEMA = replace(HI, output=OutputSpec({"type": "object"}))


def knowing(name: str, can: ModelCapabilities) -> LLMConfig:
    """Return a target of known abilities."""
    return replace(at(name), capabilities=can)


def parted(
    request: LLMRequest, *targets: LLMConfig, streamed: bool = False
) -> tuple[list[str], list[tuple[str, str, str]]]:
    """Return the names of who is kept, and who is dropped and why."""
    kept, dropped = narrowed(
        options_of(client_of(*targets), TargetStates(FakeClock())), Needs(request, streamed=streamed)
    )
    return [one.name for one in kept], [(one.option.name, one.reason, one.words) for one in dropped]


@pytest.mark.parametrize(
    ("request_", "can", "word"),
    [
        (PICTURE, ModelCapabilities(supports_vision=False), "vision"),
        (SCHEMA, ModelCapabilities(supports_json_schema=False), "json_schema"),
        (replace(HI, parameters=Parameters(max_tokens=9)), ModelCapabilities(max_tokens=8), "max_tokens above 8"),
    ],
)
def test_what_a_target_is_known_not_to_do_drops_it(request_: LLMRequest, can: ModelCapabilities, word: str) -> None:
    why = f"cannot do what the request needs: {word}"
    assert parted(request_, knowing("a/x", can), at("b/y")) == (["b/y"], [("a/x", "capability", why)])


def test_tools_that_are_emulated_are_no_reason() -> None:
    toolless = knowing("a/x", ModelCapabilities(supports_tools=False))
    assert parted(TOOLS, toolless, toolless, at("b/y"))[1] == []
    strict = replace(toolless, emulate_tools=False)
    assert parted(TOOLS, strict, at("b/y"))[0] == ["b/y"]


def test_what_nobody_knows_drops_only_where_that_is_strict() -> None:
    strict = replace(at("a/x"), catalogue=CataloguePolicy(strict=True))
    why = "nobody knows whether it can do what the request needs: tools"
    assert parted(TOOLS, strict, at("b/y")) == (["b/y"], [("a/x", "capability", why)])
    assert parted(HI, strict, at("b/y"))[1] == []


def test_when_nobody_can_the_first_one_is_kept_to_say_so() -> None:
    mute = ModelCapabilities(supports_streaming=False)
    kept, dropped = parted(HI, knowing("a/x", mute), knowing("b/y", mute), streamed=True)
    assert kept == ["a/x"]
    assert [name for name, _, _ in dropped] == ["b/y"]


LONG = LLMRequest.of("word " * 4_000)


def window(name: str, tokens: int) -> LLMConfig:
    """Return a target with a window of so many tokens."""
    return knowing(name, ModelCapabilities(context_window=tokens))


def test_a_window_that_is_too_short_drops_a_target() -> None:
    why = "about 5000 tokens are more than its window of 4096"
    assert parted(LONG, window("a/x", 4096), at("b/y")) == (["b/y"], [("a/x", "context_length", why)])


def test_the_longest_answer_belongs_into_the_window() -> None:
    asked = replace(LONG, parameters=Parameters(max_tokens=1000))
    assert parted(LONG, window("a/x", 5500), at("b/y"))[0] == ["a/x", "b/y"]
    assert parted(asked, window("a/x", 5500), at("b/y"))[0] == ["b/y"]
    own = replace(window("a/x", 5500), parameters=Parameters(max_tokens=1000))
    assert parted(LONG, own, at("b/y"))[0] == ["b/y"]


def test_an_estimate_alone_never_refuses_a_call() -> None:
    kept, dropped = parted(LONG, window("a/x", 1000), window("b/y", 4096), window("c/z", 4096))
    assert kept == ["b/y", "c/z"]
    assert [name for name, _, _ in dropped] == ["a/x"]
