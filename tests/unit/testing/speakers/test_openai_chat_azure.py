"""Below /openai/ the chat speaker speaks as Azure does, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import Failure, FakeProvider, Reply
from loomwire.testing.speakers.openai_chat import ChatSpeaker
from loomwire.testing.speakers.openai_chat_body import PROMPT_FILTERED
from loomwire.testing.speaking import Saying
from loomwire.testing.wire import HttpReply, ReceivedRequest

CLASSIC = "/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21"


def said(path: str, reply: Reply, *, stream: bool = False, model: str | None = None) -> Saying | HttpReply:
    asked: dict[str, JSON] = {"stream": stream, "messages": []}
    if model is not None:
        asked["model"] = model
    return ChatSpeaker().words(reply, ReceivedRequest("POST", path, b"", json.dumps(asked).encode(), (1, 1, 1)))


@pytest.mark.parametrize(
    ("path", "model", "named"),
    [
        (CLASSIC, None, "my gpt"),
        (CLASSIC, "other", "my gpt"),
        ("/openai/v1/chat/completions", "gpt-4o", "gpt-4o"),
        ("/openai/v1/chat/completions", None, "loopback"),
        ("/v1/chat/completions", "gpt-4o", "gpt-4o"),
    ],
)
def test_the_deployment_in_the_path_is_the_model(path: str, model: str | None, named: str) -> None:
    saying = said(path, Reply("Hi"), model=model)
    assert isinstance(saying, Saying)
    assert saying.model == named
    assert json.loads(saying.body)["model"] == named


@pytest.mark.parametrize(
    ("path", "first"), [(CLASSIC, True), ("/openai/v1/chat/completions", True), ("/v1/chat/completions", False)]
)
def test_a_stream_begins_with_the_prompts_filter(path: str, first: bool) -> None:
    saying = said(path, Reply("Hi"), stream=True)
    assert isinstance(saying, Saying)
    assert (saying.events[0] == PROMPT_FILTERED) == first
    assert PROMPT_FILTERED not in saying.events[1:]


@pytest.mark.parametrize(
    ("path", "code"), [(CLASSIC, "DeploymentNotFound"), ("/v1/chat/completions", "model_not_found")]
)
def test_an_unknown_model_is_an_unknown_deployment(path: str, code: str) -> None:
    refused = said(path, Reply(failure=Failure("model")))
    assert isinstance(refused, HttpReply)
    assert refused.status == 404
    assert isinstance(refused.body, Mapping)
    assert isinstance(error := refused.body["error"], Mapping)
    assert error["code"] == code


async def test_the_fake_provider_books_the_deployment() -> None:
    async with FakeProvider("Hi") as provider:
        place = provider.base_url.removesuffix("/v1")
        config = LLMConfig.azure_openai(
            "my gpt", base_url=place, api_key="k", api_version="2024-10-21", allow_private=True
        )
        pool = ConnectionPool()
        assert (await ClientFactory(pool, SystemClock()).create(config).generate(LLMRequest.of("Hi"))).text == "Hi"
        await pool.aclose()
        (request,) = provider.requests
        assert (request.model, request.path) == ("my gpt", CLASSIC)
