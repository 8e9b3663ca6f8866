"""What surrounds the fake provider's answers: certificates, two origins, speed, lists of models, strain."""

from __future__ import annotations

import asyncio
import gc
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
from typing_extensions import override

from loomwire.domain.errors import ConfigError
from loomwire.domain.pricing import Usage
from loomwire.testing import FakeProvider, Fault, HttpReply, Pace, ReceivedRequest, Reply, WireReply
from support.commands import environment

ASK = {"model": "m1", "messages": [{"role": "user", "content": "Hi"}]}
STREAM = {**ASK, "stream": True}
WORDS = Reply("one two three four five six seven eight")


async def post(url: str, body: object = None, verify: ssl.SSLContext | bool = True) -> httpx.Response:
    """Ask once, with a connection of its own."""
    async with httpx.AsyncClient(trust_env=False, verify=verify) as http:
        return await http.post(f"{url}/chat/completions", json=ASK if body is None else body)


def descriptors() -> int:
    """Return how many descriptors this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_throw_away_certificate_is_trusted_by_the_providers_own_context_only() -> None:
    async with FakeProvider("Hello.", tls=True) as provider:
        assert provider.base_url.startswith("https://127.0.0.1:")
        assert provider.elsewhere_url.startswith("https://127.0.0.1:")
        assert (await post(provider.base_url, verify=provider.trusted)).status_code == 200
        assert (await post(provider.elsewhere_url, verify=provider.trusted)).status_code == 200
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            await post(provider.base_url)


async def test_the_authority_can_be_given_to_other_processes() -> None:
    async with FakeProvider(tls=True) as provider:
        elsewhere = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        elsewhere.load_verify_locations(cadata=provider.authority.decode())
        assert (await post(provider.base_url, verify=elsewhere)).status_code == 200


@pytest.mark.parametrize(("tls", "said"), [("expired", "expired"), ("wrong_host", "IP address mismatch")])
async def test_a_wrong_certificate_is_wrong_in_that_way(tls: Literal["expired", "wrong_host"], said: str) -> None:
    async with FakeProvider(tls=tls) as provider:
        with pytest.raises(httpx.ConnectError, match=said):
            await post(provider.base_url, verify=provider.trusted)
    assert provider.stats.requests == 0


async def test_a_handshake_can_be_aborted() -> None:
    async with FakeProvider(tls="aborts") as provider:
        with pytest.raises(httpx.ConnectError):
            await post(provider.base_url, verify=provider.trusted)
        await provider.until(lambda stats: stats.connections == 1 and stats.open_connections == 0)
        # One that says nothing is waited for, and the end does not wait for it.
        _, writer = await asyncio.open_connection("127.0.0.1", provider.port)
        await provider.until(lambda stats: stats.open_connections == 1)
    writer.close()


async def test_without_a_throw_away_certificate_nobody_knows_whom_to_trust() -> None:
    async with FakeProvider() as provider:
        with pytest.raises(RuntimeError, match="throw-away"):
            _ = provider.trusted
        with pytest.raises(RuntimeError, match="throw-away"):
            _ = provider.authority


def test_without_trustme_the_error_says_what_to_install() -> None:
    program = """
import asyncio, sys
sys.modules["trustme"] = None
from loomwire.testing import FakeProvider
async def main():
    async with FakeProvider(tls=True):
        pass
try:
    asyncio.run(main())
except Exception as error:
    print(type(error).__name__, error, error.hint)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment(), check=True)
    assert ran.stdout.startswith(ConfigError.__name__)
    assert 'pip install "loomwire[testing]"' in ran.stdout


async def test_the_second_origin_answers_too_and_is_told_apart_in_the_log() -> None:
    async with FakeProvider("first", "second") as provider:
        first = await post(provider.base_url)
        second = await post(provider.elsewhere_url)
        urls = (provider.base_url, provider.elsewhere_url)
    assert "first" in first.text
    assert "second" in second.text
    assert [(entry.origin, entry.elsewhere) for entry in provider.requests] == [(1, urls[1]), (2, urls[0])]


async def test_a_redirect_can_lead_to_the_other_origin() -> None:
    def away(request: ReceivedRequest) -> WireReply:
        return HttpReply(307, headers={"location": f"{request.elsewhere}/chat/completions"})

    async with FakeProvider(away) as provider, httpx.AsyncClient(trust_env=False, follow_redirects=True) as http:
        await http.post(f"{provider.base_url}/chat/completions", json=ASK, headers={"authorization": "Bearer k"})
    assert [entry.origin for entry in provider.requests] == [1, 2]
    assert "authorization" not in provider.requests[1].headers


async def test_models_are_listed() -> None:
    async with FakeProvider() as provider, httpx.AsyncClient(trust_env=False) as http:
        listed = (await http.get(f"{provider.base_url}/models")).json()
        assert (await http.post(f"{provider.base_url}/models")).status_code == 404
    assert [row["id"] for row in listed["data"]] == ["loopback"]


async def test_a_paced_stream_comes_event_by_event_after_the_first_tokens_time() -> None:
    pace = Pace(first_token_s=0.05, tokens_per_s=200)
    async with FakeProvider(then=WORDS, pace=pace) as provider, httpx.AsyncClient(trust_env=False) as http:
        began = time.monotonic()
        async with http.stream("POST", f"{provider.base_url}/chat/completions", json=STREAM) as answer:
            headers_after = time.monotonic() - began
            times = [time.monotonic() - began async for line in answer.aiter_lines() if line.startswith("data: ")]
    usage = provider.requests[0].billed
    assert usage is not None
    assert headers_after < times[0]
    assert times[0] >= 0.05
    assert times[-1] >= pace.total_s(usage.output_tokens)
    assert len({round(at, 3) for at in times}) > 3


async def test_a_paced_plain_answer_waits_as_long_as_the_whole_would_take() -> None:
    reply = Reply("Hi", usage=Usage(1, 20))
    async with FakeProvider(then=reply, pace=Pace(first_token_s=0.02, tokens_per_s=1000)) as provider:
        began = time.monotonic()
        await post(provider.base_url)
    assert time.monotonic() - began >= 0.04


def test_the_same_seed_gives_the_same_waits() -> None:
    pace = Pace(first_token_s=1, tokens_per_s=10, jitter=0.5, seed=7)
    assert pace.of(3).waits(5, 20) == pace.of(3).waits(5, 20)
    assert pace.of(3).waits(5, 20) != pace.of(4).waits(5, 20)
    assert all(0.25 <= wait <= 0.75 for wait in pace.of(3).waits(5, 20)[1:])
    assert 0.5 * 3 <= pace.of(1).total_s(20) <= 1.5 * 3
    assert Pace(first_token_s=1).of(9) == Pace(first_token_s=1)


@pytest.mark.parametrize(
    ("first", "speed", "jitter"), [(-1, 1, 0), (float("nan"), 1, 0), (0, 0, 0), (0, float("nan"), 0), (0, 1, 1.5)]
)
def test_what_is_no_pace_is_refused(first: float, speed: float, jitter: float) -> None:
    with pytest.raises(ValueError, match="must"):
        Pace(first_token_s=first, tokens_per_s=speed, jitter=jitter)


class Endless(WireReply):
    """Says the same for ever, and counts how often."""

    def __init__(self) -> None:
        self.said = 0

    @override
    def pieces(self, request: ReceivedRequest) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
        while True:
            self.said += 1
            yield b"x" * 16_384


async def test_an_endless_reply_waits_for_a_slow_reader() -> None:
    endless = Endless()
    async with FakeProvider(endless) as provider:
        reader, writer = await asyncio.open_connection("127.0.0.1", provider.port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readline()
        stands = -1
        while stands != endless.said:
            stands = endless.said
            await asyncio.sleep(0.05)
        writer.close()
    assert stands * 16_384 < 32 * 1024 * 1024


async def test_an_endless_reply_ends_when_a_fast_reader_leaves_and_lets_others_speak() -> None:
    async with FakeProvider(Endless(), "Hello.") as provider:
        reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readexactly(4_000_000)
        assert (await post(provider.base_url)).status_code == 200
        writer.transport.abort()
        await provider.until(lambda stats: stats.abandoned == 1 and stats.open_connections == 0)


async def test_a_thousand_clients_that_leave_leave_nothing_behind() -> None:
    async with FakeProvider(then=WORDS, pace=Pace(first_token_s=0.005, tokens_per_s=200), keep=10) as provider:
        await post(provider.base_url)
        await provider.until(lambda stats: stats.open_connections == 0)
        before, tasks = descriptors(), len(asyncio.all_tasks())

        async def leave(number: int) -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", provider.port)
            body = b'{"model": "m", "stream": true, "messages": []}'
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            await asyncio.sleep(number % 20 / 1000)
            writer.transport.abort()

        for batch in range(10):
            await asyncio.gather(*(leave(batch * 100 + number) for number in range(100)))
        stats = await provider.until(lambda stats: stats.open_connections == 0)
        await asyncio.sleep(0)
        assert stats.requests == stats.answered + stats.abandoned
        assert stats.abandoned > 100
        assert (descriptors(), len(asyncio.all_tasks())) == (before, tasks)
        assert (await post(provider.base_url)).status_code == 200


async def test_hanging_replies_do_not_hold_up_the_end_and_nothing_outlives_it() -> None:
    async with FakeProvider() as warm:
        await post(warm.base_url)
    gc.collect()
    before, tasks = descriptors(), len(asyncio.all_tasks())
    provider = FakeProvider(then=lambda _: Fault("hang"))
    async with provider:
        writers = []
        for _ in range(50):
            _, writer = await asyncio.open_connection("127.0.0.1", provider.port)
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\n\r\n")
            writers.append(writer)
        await provider.until(lambda stats: stats.requests == 50)
        began = time.monotonic()
    assert time.monotonic() - began < 1.0
    for writer in writers:
        writer.close()
    await asyncio.sleep(0.01)
    assert descriptors() == before
    assert (provider.stats.abandoned, provider.stats.open_connections) == (50, 0)
    assert len(asyncio.all_tasks()) == tasks


async def test_one_provider_can_be_entered_again_and_several_run_at_once() -> None:
    provider = FakeProvider("one", "two")
    async with provider:
        assert "one" in (await post(provider.base_url)).text
    async with provider, FakeProvider("other") as other:
        assert "two" in (await post(provider.base_url)).text
        assert "other" in (await post(other.base_url)).text


async def test_a_taken_port_is_an_os_error_and_leaves_nothing_open() -> None:
    async with FakeProvider() as first:
        before = descriptors()
        with pytest.raises(OSError, match="in use"):
            async with FakeProvider(address=("127.0.0.1", first.port)):
                pass
        assert descriptors() == before


async def test_a_fixed_port_is_taken() -> None:
    async with FakeProvider() as first:
        port = first.port
    async with FakeProvider(address=("127.0.0.1", port)) as second:
        assert second.port == port


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert FakeProvider(address=("::1", 0)).base_url == "http://[::1]:0/v1"


@pytest.mark.parametrize("turns", range(8))
async def test_entering_may_be_cancelled_at_any_turn_and_leaves_no_socket(turns: int) -> None:
    async def enter() -> None:
        async with FakeProvider():
            pass

    before = descriptors()
    task = asyncio.create_task(enter())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert descriptors() == before


async def test_leaving_while_clients_connect_leaves_no_socket() -> None:
    before = descriptors()
    async with FakeProvider() as provider:
        asking = [asyncio.create_task(asyncio.open_connection("127.0.0.1", provider.port)) for _ in range(20)]
        await asyncio.sleep(0)
    for reached in await asyncio.gather(*asking, return_exceptions=True):
        if isinstance(reached, tuple):
            reached[1].close()
            await asyncio.gather(reached[1].wait_closed(), return_exceptions=True)
    assert descriptors() == before
