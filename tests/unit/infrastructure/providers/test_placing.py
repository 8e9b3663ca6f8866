"""Where targets stand is worked out once, is right for each of them, and does not grow without bound."""

from __future__ import annotations

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.placing import KEPT, Endpoints
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool


def test_an_address_that_is_refused_is_refused_again_and_does_not_speak_for_one_that_is_allowed() -> None:
    endpoints, url = Endpoints(), "http://127.0.0.1:9/v1"
    for _ in range(2):
        with pytest.raises(ConfigError, match="not public"):
            endpoints.of(url, allow_private=False)
        assert endpoints.of(url, allow_private=True) == "http://127.0.0.1:9"


def test_more_places_than_are_remembered_are_right_all_the_same() -> None:
    endpoints = Endpoints()
    for port in (*range(1, KEPT + 3), 1):
        assert endpoints.of(f"http://127.0.0.1:{port}/v1", allow_private=True) == f"http://127.0.0.1:{port}"


def test_a_target_that_has_everything_resolves_to_itself() -> None:
    factory = ClientFactory(ConnectionPool(), SystemClock())
    for config in (LLMConfig.openai("m", api_key="any"), LLMConfig.llamacpp("m"), LLMConfig(type="mock", model="m")):
        once = factory.resolved(config)
        assert once is not config
        assert factory.resolved(once) is once
