"""One connection for all who ask on a loop: what travels together, what is refused, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from loomwire.domain.values import Secret
from loomwire.infrastructure.caching.redis_lines import Dial, LineError, RedisLine, dialling
from loomwire.testing.contracts.contract import until
from support.fake_redis import FakeRedis, fake_redis


@pytest.fixture
def server() -> Iterator[FakeRedis]:
    with fake_redis() as fake:
        yield fake


@pytest.fixture
def dial(server: FakeRedis) -> Dial:
    return dialling(Secret(server.url))


async def test_commands_of_several_callers_travel_in_order(server: FakeRedis, dial: Dial) -> None:
    line = RedisLine(dial)
    keys = [f"key {number}" for number in range(400)]
    await asyncio.gather(*(line.ask(("SET", key, key), ("MGET", key)) for key in keys))
    answers = await asyncio.gather(*(line.ask(("MGET", key), ("MGET", "nothing")) for key in keys))
    assert answers == [[[key.encode()], [None]] for key in keys]
    assert server.connections == 1
    await line.aclose()


async def test_one_refusal_refuses_what_was_asked_with_it_and_nothing_else(server: FakeRedis, dial: Dial) -> None:
    line = RedisLine(dial)
    server.refuse = {b"SCAN": "MISCONF Redis is configured to save, hunter2"}
    told = await asyncio.gather(
        line.ask(("SET", "a", "1")), line.ask(("MGET", "a"), ("SCAN", "0")), line.ask(("MGET", "a")),
        return_exceptions=True,
    )  # fmt: skip
    assert told[0] == [b"OK"]
    assert isinstance(told[1], LineError)
    assert (told[1].word, told[2]) == ("MISCONF", [[b"1"]])
    await line.aclose()


async def test_a_closed_line_refuses_and_tells_who_waits(server: FakeRedis, dial: Dial) -> None:
    line = RedisLine(dial)
    server.spoil = lambda _: b""
    waiting = [asyncio.create_task(line.ask(("MGET", str(number)))) for number in range(300)]
    await until(lambda: bool(server.asked), "nothing was asked")
    await line.aclose()
    await line.aclose()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert {error.word for error in told if isinstance(error, LineError)} == {"closed"}
    with pytest.raises(LineError, match="closed"):
        await line.ask(("MGET", "a"))


async def test_a_line_on_which_too_many_wait_takes_no_more(server: FakeRedis, dial: Dial) -> None:
    line = RedisLine(dial)
    waiting = [asyncio.create_task(line.ask(("MGET", "a"))) for _ in range(10_001)]
    await asyncio.sleep(0)
    for task in waiting[:-1]:
        task.cancel()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(told[-1], LineError)
    assert told[-1].word == "busy"
    assert await line.ask(("MGET", "a")) == [[None]]
    await line.aclose()


async def test_a_line_that_is_idle_stays_and_ends_with_its_loop(server: FakeRedis, dial: Dial) -> None:
    line = RedisLine(dial)
    line._anchor.cancel()
    line._stay()
    assert await line.ask(("MGET", "a")) == [[None]]
    line.leave()
    await until(lambda: line.left, "the line is open")


def test_a_loop_that_died_first_is_left_alone(server: FakeRedis, dial: Dial) -> None:
    async def asked() -> RedisLine:
        line = RedisLine(dial)
        await line.ask(("MGET", "a"))
        return line

    line = asyncio.run(asked())
    assert line.left
    line.leave()


async def test_tls_is_spoken_and_checked(tmp_path: Path) -> None:
    import ssl

    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    for name, ca in (("ours", authority), ("theirs", stranger)):
        ca.cert_pem.write_to_path(tmp_path / name)
    with fake_redis(context) as server:
        url = f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs={tmp_path}"
        line = RedisLine(dialling(Secret(f"{url}/ours")))
        assert await line.ask(("MGET", "a")) == [[None]]
        await line.aclose()
        wrong = RedisLine(dialling(Secret(f"{url}/theirs")))
        with pytest.raises(LineError, match="SSLCertVerificationError"):
            await wrong.ask(("MGET", "a"))
        await wrong.aclose()
