"""What stands beside the answer, in headers and usage, arrives over a socket, plain and streamed."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse, RateLimits
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import Exchange, WireServer

LEFT: Mapping[str, str] = {
    "X_Ratelimit_Limit_Requests": "2500",
    "X_Ratelimit_Remaining_Requests": "2499",
    "X_Ratelimit_Reset_Requests": "24ms",
    "X_Ratelimit_Limit_Tokens": "250000",
    "X_Ratelimit_Remaining_Tokens": "249989",
    "X_Ratelimit_Reset_Tokens": "1m0.5s",
    "Apim_Request_Id": "r-4711",
    # Anthropic, HuggingFace and Together send these with answers too (TRAPS 52).
    "Retry_After": "30",
    "X_Should_Retry": "true",
}
BASE: Mapping[str, JSON] = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
USAGES: Mapping[str, Mapping[str, JSON]] = {
    "OpenAI": {
        "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 4},
    },
    "DeepSeek": {
        "prompt_cache_hit_tokens": 64,
        "prompt_cache_miss_tokens": 36,
        "completion_tokens_details": {"reasoning_tokens": 4},
    },
    "flat": {"cached_tokens": 64, "reasoning_tokens": 4},
}


@asynccontextmanager
async def answering(usage: Mapping[str, JSON], *, stream: bool) -> AsyncGenerator[ILLMClient]:
    """Stand for a deployment that answers `Hi` with a usage and with all the headers."""
    whole: dict[str, JSON] = {"id": "c", "model": "m", "usage": {**BASE, **usage}}
    choice: dict[str, JSON] = {"index": 0, "finish_reason": "stop", "delta" if stream else "message": {"content": "Hi"}}
    said = json.dumps({**whole, "choices": [choice]}).encode()
    kind = "text/event-stream" if stream else "application/json"

    async def play(exchange: Exchange) -> None:
        body = b"data: %b\n\ndata: [DONE]\n\n" % said if stream else said
        await exchange.answer(body, 200, Content_Type=kind, **LEFT)

    pool = ConnectionPool()
    async with WireServer(play) as server:
        place = server.base_url
        config = LLMConfig.azure_openai("m", base_url=place, api_key="k", api_version="2024-10-21", allow_private=True)
        yield ClientFactory(pool, SystemClock()).create(config)
        await pool.aclose()


async def answer(client: ILLMClient, *, stream: bool) -> LLMResponse[str]:
    """Ask once, either way."""
    if not stream:
        return await client.generate(LLMRequest.of("Hi"))
    async with client.stream(LLMRequest.of("Hi")) as events:
        assert [event async for event in events]
        return events.response


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("vendor", USAGES)
async def test_rate_limits_request_id_and_cached_tokens_arrive(vendor: str, stream: bool) -> None:
    async with answering(USAGES[vendor], stream=stream) as client:
        got = await answer(client, stream=stream)
    assert (got.text, got.request_id) == ("Hi", "r-4711")
    assert got.rate_limits == RateLimits(2500, 2499, 0.024, 250_000, 249_989, 60.5)
    assert (got.usage.input_tokens, got.usage.cache_read_tokens) == (100, 64)
    assert (got.usage.output_tokens, got.usage.reasoning_tokens, got.usage.estimated) == (10, 4, False)
