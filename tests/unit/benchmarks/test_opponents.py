"""The benchmark's server and clients do the work they are measured by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.clients.adapter import ClientName, open_adapter
from benchmarks.clients.ours import message_of
from benchmarks.configuration import NAMED, write_config
from benchmarks.payloads import ANSWER, ROUTES, STREAMS, Json
from benchmarks.runs import PLANS, TOGETHER, BenchmarkError, child
from benchmarks.server import Exchange
from benchmarks.worker import MEASURES, must_be


@asynccontextmanager
async def loopback() -> AsyncIterator[int]:
    """Run the benchmark's server in this loop and give its port."""
    server = await asyncio.get_running_loop().create_server(Exchange, "127.0.0.1", 0)
    async with server:
        port: int = server.sockets[0].getsockname()[1]
        yield port


CLIENTS: tuple[ClientName, ...] = ("httpx", "aiohttp", "ours")


@pytest.mark.parametrize("client", CLIENTS)
async def test_every_client_gets_the_same_answers(client: ClientName) -> None:
    async with loopback() as port, open_adapter(client, port) as adapter:
        assert await adapter.ask() == ANSWER
        assert await adapter.ask_long() == ANSWER
        for route, (texts, _) in STREAMS.items():
            assert (await adapter.read(route)).texts == texts


@pytest.mark.parametrize(
    ("wire", "role", "parts"),
    [
        ({"role": "system", "content": "Be brief."}, "system", ["Text"]),
        ({"role": "user", "content": "Hello"}, "user", ["Text"]),
        ({"role": "tool", "tool_call_id": "a", "content": "30"}, "tool", ["ToolResult"]),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}],
            },
            "assistant",
            ["ToolCall"],
        ),
    ],
)
def test_our_client_sends_the_conversation_that_the_others_send(
    wire: dict[str, Json], role: str, parts: list[str]
) -> None:
    message = message_of(wire)
    assert message.role == role
    assert [type(part).__name__ for part in message.parts] == parts


async def test_the_first_event_comes_before_the_rest_is_sent() -> None:
    async with loopback() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b'{"stream":true}'
        writer.write(b"POST /first/v1/x HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body))
        writer.write(body)
        begin = await reader.readuntil(b' word"}')
        assert begin.count(b" word") == 1
        assert b"[DONE]" in await reader.readuntil(b"0\r\n\r\n")
        writer.close()
        await writer.wait_closed()


async def test_a_request_may_come_in_pieces() -> None:
    async with loopback() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in (b"POST /plain/v1/x HTTP/1.1\r\ncontent-len", b"gth: 2\r\n", b"\r\n{", b"}"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
        writer.close()
        await writer.wait_closed()


def test_the_configuration_names_every_route_and_as_many_clients_as_asked(tmp_path: Path) -> None:
    write_config(tmp_path, 80, NAMED + 5)
    text = (tmp_path / "bench.yaml").read_text(encoding="utf-8")
    clients = text.split("clients:\n")[1].splitlines()
    assert len(clients) == NAMED + 5
    assert all(f"  {route}: {{models: [{route}, {route}_spare]}}" in clients for route in ROUTES)


def test_a_wrong_answer_ends_the_measurement() -> None:
    with pytest.raises(SystemExit, match="not 'whole'"):
        must_be("cut", "whole")


def test_a_measuring_process_that_fails_says_why() -> None:
    with pytest.raises(BenchmarkError, match="KeyError"):
        child(["-c", "{}['nothing']"])


def test_every_plan_names_a_measurement() -> None:
    from benchmarks.inside import MEASURES as INSIDE

    assert {plan.measure for plan in PLANS} == {*MEASURES, *INSIDE}
    assert {*TOGETHER, *TOGETHER.values()} <= {plan.measure for plan in PLANS}
