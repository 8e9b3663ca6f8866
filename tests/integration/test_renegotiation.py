"""TLS that is renegotiated in the middle of an answer, through the real wire client and pool."""

from __future__ import annotations

from pathlib import Path

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.requests import LLMRequest
from loomwire.infrastructure.providers.openai_chat.chat import OpenAIChat
from loomwire.infrastructure.providers.wire.client import WireClient
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import Reply, chat_events
from support.renegotiating import HAS_OPENSSL, renegotiating

pytestmark = pytest.mark.skipif(not HAS_OPENSSL, reason="needs the program openssl: dev.py setup --full")

HEAD = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r"


async def test_a_stream_survives_a_renegotiation(tmp_path: Path) -> None:
    first, *rest = [event.decode() for event in chat_events(Reply("one two three"))]
    parts = (f"{HEAD}\n{first}", "".join(rest[:2]), "".join(rest[2:]))
    async with renegotiating(tmp_path, *parts) as server:
        pool = ConnectionPool(tls=server.trusted)
        config = LLMConfig.custom("m", base_url=server.base_url, api_key="k", allow_private=True)
        client = WireClient(config, OpenAIChat(), pool, SystemClock(), endpoint=server.base_url.removesuffix("/v1"))
        async with client.stream(LLMRequest.of("Hi", deadline_s=5)) as stream:
            async for _ in stream:
                pass
        assert stream.response.text == "one two three"
        assert server.said.count(b"SSL_do_handshake -> 1") == 2
        await pool.aclose()
