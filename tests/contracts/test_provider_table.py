"""Every row of the provider table keeps the contract of ILLMClient: networked rows over a loopback server."""

from __future__ import annotations

import importlib
import json
import re

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.events import Finished, TextDelta
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import JSON, Secret
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS, option_checks
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import Exchange, WireServer

NETWORKED = [name for name, row in PROVIDERS.items() if row.client is None]
OFFLINE = [name for name, row in PROVIDERS.items() if row.client is not None]
OPTIONS: dict[str, dict[str, JSON]] = {
    "mock": {"script": [{"text": "Hello."}]},
    "rule": {"rules": [{"answer": "Hello.", "default": True}]},
}
WHOLE = {"choices": [{"index": 0, "message": {"content": "Hello."}, "finish_reason": "stop"}]}
CHUNK = {"choices": [{"index": 0, "delta": {"content": "Hello."}, "finish_reason": "stop"}]}


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_row_is_complete(name: str) -> None:
    row = PROVIDERS[name]
    assert row.name == name
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    assert (row.client is None) or (row.dialect is None and not row.needs_key)
    assert row.dialect is None or row.dialect in DIALECTS
    assert row.base_url is None or re.fullmatch(
        r"https://[a-z.]+(/[a-z0-9/]+)?|http://127\.0\.0\.1:\d+/v1", row.base_url
    )
    assert row.private == (row.base_url or "").startswith("http://")
    assert not row.needs_key or re.fullmatch(r"[A-Z]+_API_KEY", row.hint)


@pytest.mark.parametrize(
    "place",
    [
        *(place for row in DIALECTS.values() for place in (row.client, row.speaker)),
        *(row.client for row in PROVIDERS.values() if row.client),
    ],
)
def test_what_a_row_names_exists(place: str) -> None:
    module, _, name = place.partition(":")
    assert isinstance(getattr(importlib.import_module(module), name), type)


def test_the_checks_of_options_find_what_is_wrong_and_nothing_else() -> None:
    checks = option_checks()
    assert set(checks) == {"script", "rules"}
    for name, options in OPTIONS.items():
        for option, value in options.items():
            assert list(checks[option](value)) == [], name
            assert list(checks[option]([])) != [], name


def offline_client(name: str) -> ILLMClient:
    """Return a client of an offline row."""
    config = LLMConfig(type=name, model="m", options=OPTIONS[name])
    return ClientFactory(ConnectionPool(), SystemClock()).create(config)


@pytest.mark.parametrize("name", OFFLINE)
async def test_an_offline_row_answers_and_streams(name: str) -> None:
    assert (await offline_client(name).generate(LLMRequest.of("Hi"))).text == "Hello."
    async with offline_client(name).stream(LLMRequest.of("Hi")) as stream:
        events = [event async for event in stream]
    assert isinstance(events[-1], Finished)
    assert stream.response.text == "Hello."


@pytest.mark.parametrize("name", NETWORKED)
async def test_a_networked_row_answers_and_streams_where_its_vendor_listens(name: str) -> None:
    async def play(exchange: Exchange) -> None:
        if json.loads(exchange.body).get("stream"):
            body = b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(CHUNK).encode()
            await exchange.answer(body, Content_Type="text/event-stream")
        else:
            await exchange.answer(json.dumps(WHOLE).encode())

    pool = ConnectionPool()
    async with WireServer(play) as server:
        config = LLMConfig(
            type=name,
            model="m",
            dialect="openai_chat" if name == "custom" else None,
            base_url=server.base_url,
            keys=(Secret("table-key"),),
            allow_private=True,
        )
        client = ClientFactory(pool, SystemClock()).create(config)
        assert (await client.generate(LLMRequest.of("Hi"))).text == "Hello."
        async with client.stream(LLMRequest.of("Hi")) as stream:
            events = [event async for event in stream]
        assert events == [TextDelta("Hello."), Finished("stop")]
        local = name in ("vllm", "lm_studio", "llamacpp")
        assert {seen.path for seen in server.seen} == {"/v1/chat/completions" if local else "/chat/completions"}
        assert {seen.header("authorization") for seen in server.seen} == {"Bearer table-key"}
        assert pool.get_stats().active == 0
        assert pool.get_stats().reused == 1
        await pool.aclose()
