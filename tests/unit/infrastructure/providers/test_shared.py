"""What targets have in common is worked out once, is right for each of them, and does not grow without bound."""

from __future__ import annotations

import pytest

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.shared import KEPT, Shared
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool

ROW = ModelCapabilities(supports_tools=True, context_window=8)


def test_capabilities_are_merged_once_for_all_who_have_the_same() -> None:
    shared, own = Shared(), ModelCapabilities(supports_vision=False)
    merged = shared.capabilities(own, ROW)
    assert (merged.supports_tools, merged.supports_vision, merged.context_window) == (True, False, 8)
    assert (merged.source("supports_vision"), merged.source("supports_tools")) == ("yaml", "provider")
    assert shared.capabilities(own, ROW) is merged
    assert shared.capabilities(merged, ROW) is merged


def test_facts_that_only_look_alike_stay_apart() -> None:
    shared = Shared()
    one, true = (ModelCapabilities(custom_capabilities={"tier": value}) for value in (1, True))
    assert one == true
    assert repr(shared.capabilities(one, ROW).custom_capabilities) == "{'tier': 1}"
    assert repr(shared.capabilities(true, ROW).custom_capabilities) == "{'tier': True}"


def test_an_address_that_is_refused_is_refused_again_and_does_not_speak_for_one_that_is_allowed() -> None:
    shared, url = Shared(), "http://127.0.0.1:9/v1"
    for _ in range(2):
        with pytest.raises(ConfigError, match="not public"):
            shared.endpoint(url, allow_private=False)
        assert shared.endpoint(url, allow_private=True) == "http://127.0.0.1:9"


def test_the_oldest_makes_room_and_comes_back_as_it_was() -> None:
    shared = Shared()
    first = ModelCapabilities(max_tokens=1)
    before = shared.capabilities(first, ROW)
    others = [ModelCapabilities(max_tokens=number) for number in range(2, KEPT + 2)]
    merged = [shared.capabilities(each, ROW) for each in others]
    assert [each.max_tokens for each in merged] == [each.max_tokens for each in others]
    again = shared.capabilities(first, ROW)
    assert again == before
    assert again is not before


def test_a_target_that_has_everything_resolves_to_itself() -> None:
    factory = ClientFactory(ConnectionPool(), SystemClock())
    for config in (LLMConfig.openai("m", api_key="any"), LLMConfig.llamacpp("m"), LLMConfig(type="mock", model="m")):
        once = factory.resolved(config)
        assert once is not config
        assert factory.resolved(once) is once
