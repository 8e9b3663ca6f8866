"""The official cohere SDK asks our fake provider: an independent witness that the server speaks chat v2.

The SDK takes any JSON for an answer, so every body and event is checked against its types once more. Nothing leaves
loopback.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping

import cohere
import pytest
from cohere import (
    AssistantChatMessageV2,
    ChatMessageV2,
    ToolChatMessageV2,
    ToolV2,
    ToolV2Function,
    UserChatMessageV2,
)
from cohere.core.api_error import ApiError
from cohere.v2.types import V2ChatResponse

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON, FrozenDict, ToolCall
from loomwire.testing import Failure, FakeProvider, Reply

ASKS: list[ChatMessageV2] = [UserChatMessageV2(content="Hi")]
ADD = ToolV2(
    function=ToolV2Function(name="add", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})
)
ONE = ToolCall("call_a", "add", FrozenDict({"a": 1}))
TWO = ToolCall("call_b", "add", FrozenDict({"a": 2, "why": "because of the long words in here"}))
USED = Usage(120, 30, cache_read_tokens=100, reasoning_tokens=20)


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """A server that answers `Hello there.` unless told otherwise."""
    async with FakeProvider(then="Hello there.") as server:
        yield server


@pytest.fixture
async def sdk(provider: FakeProvider) -> AsyncIterator[cohere.AsyncClientV2]:
    """The SDK as its users have it, but that it sends nothing twice."""
    client = cohere.AsyncClientV2(api_key="witness", base_url=provider.base_url.removesuffix("/v1"), max_retries=0)
    async with client:
        yield client


def checked(answer: V2ChatResponse) -> V2ChatResponse:
    """Fail unless an answer fits the SDK's own types."""
    return V2ChatResponse.model_validate(answer.model_dump(exclude_unset=True))


async def test_the_check_is_strict(sdk: cohere.AsyncClientV2) -> None:
    whole = (await said(sdk)).model_dump()
    for missing in ("id", "finish_reason", "message"):
        with pytest.raises(ValueError, match=missing):
            V2ChatResponse.model_validate({key: value for key, value in whole.items() if key != missing})


async def said(sdk: cohere.AsyncClientV2) -> V2ChatResponse:
    """Ask once and check the answer."""
    return checked(await sdk.chat(model="command-x", messages=ASKS, tools=[ADD]))


async def test_a_plain_answer_is_a_valid_answer(provider: FakeProvider, sdk: cohere.AsyncClientV2) -> None:
    provider.queue(Reply("Hello there.", reasoning="Hm.", usage=USED))
    answer = await said(sdk)
    content = [json.loads(part.model_dump_json()) for part in answer.message.content or ()]
    assert content == [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hello there."}]
    assert (answer.finish_reason, answer.message.tool_calls) == ("COMPLETE", None)
    assert answer.usage is not None
    assert answer.usage.tokens is not None
    assert (answer.usage.tokens.input_tokens, answer.usage.tokens.output_tokens) == (120, 30)
    assert answer.usage.cached_tokens == 100
    asked: Mapping[str, JSON] = json.loads(provider.requests[-1].body)
    assert (provider.requests[-1].path, asked["model"]) == ("/v2/chat", "command-x")


@pytest.mark.parametrize("calls", [(ONE,), (ONE, TWO)])
async def test_tool_calls_come_whole(
    provider: FakeProvider, sdk: cohere.AsyncClientV2, calls: tuple[ToolCall, ...]
) -> None:
    provider.queue(Reply(tool_calls=calls))
    answer = await said(sdk)
    assert (answer.finish_reason, answer.message.content) == ("TOOL_CALL", None)
    got = [
        (call.id, call.function.name, json.loads(call.function.arguments or ""))
        for call in answer.message.tool_calls or ()
        if call.function is not None
    ]
    assert got == [(call.id, call.name, dict(call.arguments or {})) for call in calls]


async def test_a_stream_says_the_same_in_pieces(provider: FakeProvider, sdk: cohere.AsyncClientV2) -> None:
    provider.queue(Reply("Hello there.", (ONE, TWO), "Hm, hm.", usage=USED))
    events = [event async for event in sdk.chat_stream(model="command-x", messages=ASKS, tools=[ADD])]
    for event in events:
        type(event).model_validate(event.model_dump(exclude_unset=True))
    facts = [json.loads(event.model_dump_json(exclude_unset=True)) for event in events]
    assert (facts[0]["type"], facts[-1]["type"]) == ("message-start", "message-end")
    said_of = {kind: [at(fact, kind) for fact in facts if at(fact, kind)] for kind in ("text", "thinking", "name")}
    assert "".join(said_of["text"]) == "Hello there."
    assert "".join(said_of["thinking"]) == "Hm, hm."
    assert said_of["name"] == ["add", "add"]
    arguments = "".join(at(fact, "arguments") for fact in facts)
    assert arguments == '{"a":1}{"a":2,"why":"because of the long words in here"}'
    assert facts[-1]["delta"]["finish_reason"] == "TOOL_CALL"
    assert facts[-1]["delta"]["usage"]["tokens"] == {"input_tokens": 120, "output_tokens": 30, "reasoning_tokens": 20}


def at(fact: Mapping[str, JSON], key: str) -> str:
    """Return the text under a key anywhere in an event, or ""."""
    for name, value in fact.items():
        found = value if name == key else at(value, key) if isinstance(value, Mapping) else ""
        if isinstance(found, str) and found:
            return found
    return ""


@pytest.mark.parametrize(
    ("reason", "kind", "status"),
    [
        ("credentials", cohere.UnauthorizedError, 401),
        ("denied", cohere.ForbiddenError, 403),
        ("model", cohere.NotFoundError, 404),
        ("throttled", cohere.TooManyRequestsError, 429),
        ("invalid_request", cohere.BadRequestError, 400),
        ("context_length", cohere.BadRequestError, 400),
        ("server", cohere.InternalServerError, 500),
        ("overloaded", cohere.ServiceUnavailableError, 503),
        ("gateway", cohere.GatewayTimeoutError, 504),
        ("quota_exhausted", ApiError, 402),
    ],
)
async def test_a_failure_is_the_sdks_own_exception(
    provider: FakeProvider, sdk: cohere.AsyncClientV2, reason: str, kind: type[ApiError], status: int
) -> None:
    provider.queue(Reply(failure=Failure(reason, message="No, because.")))
    with pytest.raises(kind) as caught:
        await said(sdk)
    assert type(caught.value) is kind
    assert caught.value.status_code == status
    assert "No, because." in str(caught.value.body)


async def test_tools_and_results_arrive(provider: FakeProvider, sdk: cohere.AsyncClientV2) -> None:
    provider.queue(Reply(tool_calls=(ONE,)))
    called = await said(sdk)
    again: list[ChatMessageV2] = [
        *ASKS,
        AssistantChatMessageV2(tool_calls=called.message.tool_calls),
        ToolChatMessageV2(tool_call_id="call_a", content="2"),
    ]
    await sdk.chat(model="command-x", messages=again, tools=[ADD])
    sent = json.loads(provider.requests[-1].body)["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert sent[1]["tool_calls"][0]["id"] == "call_a"
