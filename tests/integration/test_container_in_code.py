"""Hosts without YAML: clients written in code keep everything a configured client has."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from loomwire import (
    ILLMClient,
    ILLMClientFactory,
    LLMConfig,
    LLMContainer,
    LLMRequest,
    LLMTimeoutError,
    LLMValidationError,
    ModelCapabilities,
)
from loomwire.domain.config import ClientConfig
from loomwire.domain.errors import CapabilityError, ConfigError, UnknownNameError
from loomwire.domain.messages import Image
from loomwire.domain.ports.clock import IClock
from loomwire.testing import After, FakeProvider
from support.chains import HI

RULES = LLMConfig(type="rule", model="any", options={"rules": [{"default": True, "answer": "Hello."}]})


async def test_clients_are_named_in_code_and_resolved_as_ever() -> None:
    clients: dict[str, LLMConfig | ClientConfig] = {
        "greeter": RULES,
        "told": ClientConfig(name="", targets=(RULES,), system="Be brief.", total_s=3),
    }
    async with LLMContainer.of(clients) as container:
        answer = await container.resolve(ILLMClient, "greeter").generate(HI)
        assert (answer.text, answer.steps[0].target) == ("Hello.", "rule/any")
        assert container.names() == ("greeter", "told")
        assert container.client_config("told").total_s == 3
        assert container.health().clients["greeter"].answered == 1
        with pytest.raises(UnknownNameError):
            container.client_config("nobody")


@pytest.mark.parametrize(("deadline_s", "reason"), [(None, "attempt"), (0.02, "deadline")])
async def test_a_client_of_the_factory_ends_at_its_limits(deadline_s: float | None, reason: str) -> None:
    async with FakeProvider(then=After(30, "late")) as server, LLMContainer.of({}) as container:
        model = LLMConfig.custom("m", base_url=server.base_url, allow_private=True, timeout_s=0.05)
        client = await asyncio.to_thread(container.resolve(ILLMClientFactory).create, model)
        with pytest.raises(LLMTimeoutError) as caught:
            await client.generate(LLMRequest.of("hi", deadline_s=deadline_s))
        assert caught.value.reason == reason


async def test_a_client_of_the_factory_refuses_what_its_model_cannot_do() -> None:
    async with LLMContainer.of({}) as container:
        blind = LLMConfig.custom(
            "m", base_url="https://llm.invalid/v1", capabilities=ModelCapabilities(supports_vision=False)
        )
        client = container.resolve(ILLMClientFactory).create(blind)
        with pytest.raises(CapabilityError):
            await client.generate(LLMRequest.of("what?", Image(data=b"\x89PNG")))


def test_a_client_that_cannot_be_built_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="needs an API key"):
        LLMContainer.of({"planner": LLMConfig.openai("gpt-5-mini")})


async def test_a_handle_says_why_it_is_not_pickled_and_a_part_has_no_name() -> None:
    async with LLMContainer.of({"greeter": RULES}) as container:
        with pytest.raises(TypeError, match="send its name"):
            pickle.dumps(container.llm_client("greeter"))
        with pytest.raises(UnknownNameError, match="there is one IClock"):
            container.resolve(IClock, "greeter")


async def test_an_open_stream_is_not_entered_again() -> None:
    async with LLMContainer.of({"greeter": RULES}) as container:
        streaming = container.llm_client("greeter").stream(HI)
        async with streaming:
            with pytest.raises(LLMValidationError, match="entered once"):
                await streaming.__aenter__()
        assert container.health().in_flight == 0
