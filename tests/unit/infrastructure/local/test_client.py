"""A local client waits for its server and then asks it like any other, with the server's own key and address."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, LLMError, LLMTimeoutError
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.values import Secret
from loomwire.infrastructure.local.engine import Engine
from loomwire.infrastructure.local.server import LocalServers, Starter
from loomwire.infrastructure.local.settings import LocalSettings
from loomwire.infrastructure.providers.local import LocalClient
from loomwire.infrastructure.providers.openai_chat.chat import OpenAIChat
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.wire.client import WireClient
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FakeProvider, HttpReply

ASK = LLMRequest.of("Hello?")
CLOCK = SystemClock()


class Served(Engine):
    """An engine whose server is a fake provider."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.key = Secret("key-of-this-start")
        self.ended = threading.Event()

    @override
    def stop(self) -> None:
        self.ended.set()

    @override
    def abandon(self) -> None:
        self.ended.set()


@contextmanager
def local(tmp_path: Path, start: Starter) -> Generator[tuple[LocalClient, LocalServers], None, None]:
    """Give a client over a start of servers."""
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF")
    config = LLMConfig.local(str(path))
    servers = LocalServers(start)
    pool = ConnectionPool()

    def make(engine: Engine) -> ILLMClient:
        own = LLMConfig.llamacpp("tiny", base_url=engine.base_url, api_key=engine.key, allow_private=True)
        return WireClient(own, OpenAIChat(ChatQuirks()), pool, CLOCK)

    client = LocalClient(config, servers.lease(LocalSettings(model_path=str(path))), CLOCK, make)
    yield client, servers


async def test_whole_and_streamed_answers_come_from_the_one_server_with_its_key(tmp_path: Path) -> None:
    async with FakeProvider(then="Hello.") as provider:
        engine = Served(provider.base_url)
        with local(tmp_path, lambda _: engine) as (client, servers):
            assert repr(client) == "Local(local/tiny.gguf)"
            assert (await client.generate(ASK)).text == "Hello."
            async with client.stream(ASK) as stream:
                assert [event async for event in stream]
                assert stream.response.text == "Hello."
            keys = {request.headers["authorization"] for request in provider.requests}
            assert keys == {"Bearer key-of-this-start"}
            await asyncio.to_thread(servers.close)
            assert engine.ended.is_set()


async def test_an_open_stream_keeps_the_server_until_it_is_left(tmp_path: Path) -> None:
    async with FakeProvider(then="Hello.") as provider:
        engine = Served(provider.base_url)
        with local(tmp_path, lambda _: engine) as (client, servers):
            async with client.stream(ASK):
                await asyncio.to_thread(servers.close)
                assert not engine.ended.is_set()
            assert await asyncio.to_thread(engine.ended.wait, 5)
            with pytest.raises(LLMError) as caught:
                await client.generate(ASK)
            assert caught.value.reason == "closed"


async def test_a_refused_call_is_counted_off_like_an_answered_one(tmp_path: Path) -> None:
    async with FakeProvider(then=HttpReply(503)) as provider:
        engine = Served(provider.base_url)
        with local(tmp_path, lambda _: engine) as (client, servers):
            with pytest.raises(LLMError):
                await client.generate(ASK)
            with pytest.raises(LLMError):
                await client.stream(ASK).__aenter__()
            await asyncio.to_thread(servers.close)
            assert engine.ended.is_set()


async def test_waiting_for_the_model_ends_with_the_bound_and_says_which_target(tmp_path: Path) -> None:
    gate = threading.Event()

    def start(_: LocalSettings) -> Engine:
        assert gate.wait(10)
        return Served("http://127.0.0.1:1/v1")

    with local(tmp_path, start) as (client, _):
        with pytest.raises(LLMTimeoutError) as caught:
            await client.generate(ASK.with_bound(Bound(CLOCK.now() + 0.05, "attempt")))
        gate.set()
    assert (caught.value.reason, caught.value.provider, caught.value.model) == ("attempt", "local", "tiny.gguf")


async def test_a_client_that_cannot_be_built_for_the_server_leaves_no_call_behind(tmp_path: Path) -> None:
    engine = Served("no address at all\n")

    def refuse(_: Engine) -> ILLMClient:
        raise ConfigError("a header is not allowed")

    with local(tmp_path, lambda _: engine) as (client, servers):
        lease = servers.lease(LocalSettings(model_path=str(tmp_path / "tiny.gguf")))
        broken = LocalClient(client.config, lease, CLOCK, refuse)
        with pytest.raises(ConfigError):
            await broken.generate(ASK)
        await asyncio.to_thread(servers.close)
        assert engine.ended.is_set()


async def test_leaving_a_stream_that_was_never_entered_does_nothing(tmp_path: Path) -> None:
    with local(tmp_path, lambda _: Served("http://127.0.0.1:1/v1")) as (client, _):
        await client.stream(ASK).__aexit__(None, None, None)
