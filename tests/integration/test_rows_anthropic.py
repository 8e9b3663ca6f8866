"""Vendors that speak messages besides another dialect are asked at their own place and with their own header."""

from __future__ import annotations

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import Secret
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FakeProvider


@pytest.mark.parametrize(
    ("name", "path", "header", "value"),
    [
        ("anthropic", "/v1/messages", "x-api-key", "row-key"),
        ("deepseek", "/anthropic/v1/messages", "x-api-key", "row-key"),
        ("openrouter", "/messages", "authorization", "Bearer row-key"),
        ("llamacpp", "/v1/messages", "authorization", "Bearer row-key"),
        ("lm_studio", "/v1/messages", "authorization", "Bearer row-key"),
        ("vllm", "/v1/messages", "authorization", "Bearer row-key"),
        ("custom", "/messages", "x-api-key", "row-key"),
    ],
)
async def test_a_row_asks_for_messages_where_its_vendor_has_them(name: str, path: str, header: str, value: str) -> None:
    pool = ConnectionPool()
    async with FakeProvider(then="Hello.") as provider:
        config = LLMConfig(
            type=name,
            model="m",
            dialect="anthropic",
            base_url=provider.base_url.removesuffix("/v1"),
            keys=(Secret("row-key"),),
            allow_private=True,
        )
        client = ClientFactory(pool, SystemClock()).create(config)
        assert (await client.generate(LLMRequest.of("Hi"))).text == "Hello."
        async with client.stream(LLMRequest.of("Hi")) as stream:
            assert [event async for event in stream]
            assert stream.response.text == "Hello."
        for seen in provider.requests:
            assert (seen.path, seen.headers[header]) == (path, value)
            assert seen.headers["anthropic-version"] == "2023-06-01"
    await pool.aclose()
