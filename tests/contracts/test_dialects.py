"""One request, every dialect: against the fake provider all of them give the same answer, plain and streamed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

import pytest

from loomwire.domain.errors import CapabilityError, LLMError
from loomwire.domain.messages import Image, Message, ToolResult
from loomwire.domain.pricing import Prices, Unpriced, Usage
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.responses import LLMResponse
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSONObject, ToolCall
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.offline.reply import Failure
from loomwire.infrastructure.providers.table import DIALECTS
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FakeProvider, Reply
from loomwire.testing.contracts.client_claims.harness import told_by_stream
from loomwire.testing.speaking import REFUSALS
from support.dialects import target_of

WITHOUT_IDS: Final = frozenset({"ollama"})
"""Dialects whose tool calls have no ids; ours are made up."""

UNCACHED: Final = frozenset({"ollama"})
"""Dialects that tell nothing of a prompt cache."""

UNABLE: Final = frozenset({("ollama", "tool chosen")})
"""What a vendor cannot express, so that the request is refused before it is sent."""

UNFILTERED: Final = frozenset({"cohere", "ollama"})
"""Dialects without a word for what a content filter refused; it reads as an invalid request."""

UNSIGNED: Final = frozenset({"openai_chat", "cohere", "ollama"})
"""Dialects whose thinking carries no proof."""

SCHEMA: Final[JSONObject] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "day": {"type": "integer"}},
    "required": ["city", "day"],
    "additionalProperties": False,
}
WEATHER: Final = Tool("weather", "Tells the weather.", SCHEMA)
TIME: Final = Tool("time", "Tells the time.")
CALLS: Final = (ToolCall("call_a", "weather", {"city": "Łódź", "day": 3}), ToolCall("call_b", "time", {}))
PIXEL: Final = b"\x89PNG\r\n\x1a\n"
USAGE: Final = Usage(120, 30)
ASKED: Final = LLMRequest.of("What is the weather?", system="You are brief.", tools=(WEATHER, TIME))

CASES: Final[Mapping[str, tuple[Reply, LLMRequest]]] = {
    "text": (Reply("It rains. 🌧", usage=USAGE), LLMRequest.of("Hi")),
    "nothing to say": (Reply("", usage=Usage(5, 0)), LLMRequest.of("Say nothing")),
    "cut by length": (Reply("It rai", finish="length", usage=USAGE), LLMRequest.of("Hi")),
    "filtered": (Reply("It", finish="content_filter", usage=USAGE), LLMRequest.of("Hi")),
    "thinking": (Reply("It rains.", reasoning="Let me think about it.", usage=Usage(9, 30, 0, 0, 12)), ASKED),
    "one tool": (Reply(tool_calls=CALLS[:1], usage=USAGE), ASKED),
    "tools at once": (Reply("I look.", tool_calls=CALLS, usage=USAGE), ASKED),
    "tool chosen": (Reply(tool_calls=CALLS[:1], usage=USAGE), replace(ASKED, tool_choice="required")),
    "no tool": (Reply("Rain.", usage=USAGE), replace(ASKED, tool_choice="none")),
    "picture": (Reply("A dot.", usage=USAGE), LLMRequest.of("What is this?", Image(PIXEL))),
    "cached": (Reply("Rain.", usage=Usage(120, 30, 100)), LLMRequest.of("Hi", parameters=Parameters(max_tokens=50))),
    "object": (Reply('{"city": "Łódź", "day": 3}', usage=USAGE), LLMRequest.of("Hi", output=OutputSpec(SCHEMA))),
    "history": (
        Reply("Rain at noon.", usage=USAGE),
        ASKED.extended(
            Message.assistant("I look.", tool_calls=CALLS),
            Message.tool(ToolResult("call_a", {"sky": "rain"}, "weather"), ToolResult("call_b", "noon", "time")),
            Message.user("And?"),
        ),
    ),
}


async def asked(dialect: str, reply: Reply, request: LLMRequest, *, stream: bool) -> LLMResponse[str]:
    """Return the answer that a dialect gives."""
    pool = ConnectionPool()
    async with FakeProvider(then=reply) as provider:
        config = replace(target_of(dialect, provider.base_url), prices=Prices.per_mtok(Decimal(1), Decimal(2)))
        client = ClientFactory(pool, SystemClock()).create(config)
        answer = await (told_by_stream(client, request) if stream else client.generate(request))
        await pool.aclose()
        return answer


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_dialect_gives_the_same_answer(dialect: str, case: str, stream: bool) -> None:
    reply, request = CASES[case]
    if (dialect, case) in UNABLE:
        with pytest.raises(CapabilityError):
            await asked(dialect, reply, request, stream=stream)
        return
    response = await asked(dialect, reply, request, stream=stream)
    assert response.text == response.output == reply.text
    assert "".join(item.text for item in response.reasoning) == reply.reasoning
    assert [(call.name, call.arguments) for call in response.tool_calls] == [
        (call.name, call.arguments) for call in reply.tool_calls
    ]
    ids = [call.id for call in response.tool_calls]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    assert dialect in WITHOUT_IDS or ids == [call.id for call in reply.tool_calls]
    wanted = reply.finish or ("tool_calls" if reply.tool_calls else "stop")
    # Ollama has no word for it; what we say of a word that nobody knows is never "stop".
    assert response.finish == ("other" if (dialect, case) == ("ollama", "filtered") else wanted)
    usage = reply.usage
    assert usage is not None
    cached = 0 if dialect in UNCACHED else usage.cache_read_tokens
    assert (response.usage.input_tokens, response.usage.output_tokens) == (usage.input_tokens, usage.output_tokens)
    assert response.usage.cache_read_tokens == cached
    assert not response.usage.estimated
    assert not isinstance(response.cost, Unpriced)
    assert response.complete
    assert (response.model, response.provider) == ("m", "custom")
    assert response.refusal is None


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name not in UNSIGNED])
async def test_signed_thinking_goes_back_unchanged(dialect: str, stream: bool) -> None:
    signature = "c2lnbmVkIGJ5IG5vYm9keQ=="
    first = Reply("I look.", reasoning="Let me think.", signature=signature, tool_calls=CALLS[:1], usage=USAGE)
    pool = ConnectionPool()
    async with FakeProvider(first, then=Reply("Rain.")) as provider:
        client = ClientFactory(pool, SystemClock()).create(target_of(dialect, provider.base_url))
        answer = await (told_by_stream(client, ASKED) if stream else client.generate(ASKED))
        results = Message.tool(*(ToolResult(call.id, "rain", call.name) for call in answer.tool_calls))
        await client.generate(ASKED.extended(answer.message, results))
        sent = json.dumps(provider.requests[1].json)
        assert sent.count(signature) == 1
        # Another vendor would refuse what it did not sign.
        others = [name for name in DIALECTS if name != dialect]
        for other in others:
            stranger = ClientFactory(pool, SystemClock()).create(target_of(other, provider.base_url))
            await stranger.generate(ASKED.extended(answer.message, results))
            assert signature not in json.dumps(provider.requests[-1].json), other
        await pool.aclose()


@pytest.mark.parametrize("reason", REFUSALS)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_dialect_tells_a_failure_by_the_same_reason(dialect: str, reason: str) -> None:
    reply = Reply(failure=Failure(reason, retry_after=2.0 if reason == "throttled" else None))
    with pytest.raises(LLMError) as caught:
        await asked(dialect, reply, LLMRequest.of("Hi"), stream=False)
    told = "invalid_request" if reason == "content_filter" and dialect in UNFILTERED else reason
    assert caught.value.reason == told
    assert caught.value.retry_after == (2.0 if reason == "throttled" else None)
