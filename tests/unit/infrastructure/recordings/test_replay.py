"""The pool that answers from recordings keeps every rule of the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from loomwire.domain.errors import LLMError, LLMValidationError
from loomwire.domain.policies import TransportPolicy, WireLimits
from loomwire.domain.ports.pool import WireAnswer, WireRequest
from loomwire.domain.requests import Bound
from loomwire.domain.values import JSON
from loomwire.infrastructure.recordings.book import Book
from loomwire.infrastructure.recordings.exchange import Answered, Asked, Exchange
from loomwire.infrastructure.recordings.folder import Stored
from loomwire.infrastructure.recordings.replay import Cutting, ReplayPool
from loomwire.testing import FakeClock

BASE = "https://api.example.com/v1"
SMALL = WireLimits(body=10, stream=10, error_body=4, request=20)


def stored(name: str, answered: Answered, json: JSON = 1) -> Stored:
    """Return a recording."""
    asked = Asked("POST", f"{BASE}/chat", json=json)
    return Stored(name, Exchange(name, "example", "other", "plain", asked, answered))


def book(*answers: Answered, repeat: bool = True) -> Book:
    """Return a book whose recordings answer the same request."""
    return Book(Path("tapes"), [stored(f"{at}.json", each) for at, each in enumerate(answers)], repeat=repeat)


async def send(
    pool: ReplayPool, limits: WireLimits = WireLimits(), bound: Bound | None = None, body: bytes = b"1"
) -> WireAnswer:
    """Send a request."""
    lease = await pool.acquire("http://127.0.0.1:9/v1", TransportPolicy(limits=limits))
    assert lease.base_url == "http://127.0.0.1:9/v1"
    try:
        return await lease.send(WireRequest("/chat", (("authorization", "Bearer key"),), body, bound=bound))
    finally:
        pool.release(lease)


async def chunks(answer: WireAnswer) -> Sequence[bytes]:
    """Read an answer piece by piece."""
    return [piece async for piece in answer.chunks()]


async def test_a_recorded_answer_is_read_whole_or_in_pieces() -> None:
    pool = ReplayPool(book(Answered(201, {"content-type": "text/plain"}, b"hello")))
    answer = await send(pool)
    assert (answer.status, answer.headers, await answer.read()) == (201, {"content-type": "text/plain"}, b"hello")
    assert await chunks(await send(pool)) == [b"hello"]
    stats = pool.get_stats()
    assert (stats.total, stats.successful, stats.opened) == (2, 2, 0)


@pytest.mark.parametrize("seed", [None, 1, 2])
async def test_a_body_is_cut_as_wished_and_the_same_every_time(seed: int | None) -> None:
    body = bytes(range(100))
    pool = ReplayPool(book(Answered(200, body=body)), cutting=Cutting(7, seed))
    first, second = await chunks(await send(pool)), await chunks(await send(pool))
    assert first == second
    assert b"".join(first) == body
    assert {len(piece) for piece in first} <= ({7, 2} if seed is None else set(range(1, 8)))


@pytest.mark.parametrize("size", [0, 65_537])
def test_no_piece_is_empty_or_larger_than_a_transport_delivers(size: int) -> None:
    with pytest.raises(LLMValidationError, match="chunk_bytes"):
        Cutting(size)


async def test_equal_requests_are_answered_in_order_and_then_the_last_repeats() -> None:
    pool = ReplayPool(book(Answered(500), Answered(200, body=b"a"), Answered(200, body=b"b")))
    bodies = [await (await send(pool)).read() for _ in range(5)]
    assert bodies == [b"", b"a", b"b", b"b", b"b"]


@pytest.mark.parametrize(("count", "times"), [(1, "once"), (2, "2 times")])
async def test_without_repetition_a_recording_can_be_used_up(count: int, times: str) -> None:
    pool = ReplayPool(book(*[Answered(200)] * count, repeat=False))
    for _ in range(count):
        await (await send(pool)).read()
    with pytest.raises(LLMError, match=f"was used {times}") as caught:
        await send(pool)
    assert caught.value.reason == "no_recording"


async def test_what_was_never_asked_for_is_known() -> None:
    tapes = Book(Path("tapes"), [stored("a", Answered(200)), stored("b", Answered(200), 2)], repeat=True)
    await send(ReplayPool(tapes))
    assert tapes.unused() == ("b",)


async def test_a_request_without_a_recording_names_the_nearest_and_shows_no_value() -> None:
    near: JSON = {"model": "m", "messages": [{"content": "the old plan"}]}
    tapes = [stored("far.json", Answered(200), [1]), stored("near.json", Answered(200), near)]
    body = b'{"messages": [{"content": "the new plan"}], "model": "m"}'
    with pytest.raises(LLMError) as caught:
        await send(ReplayPool(Book(Path("/home/ada/tapes"), tapes, repeat=True)), body=body)
    error = caught.value
    assert (error.code, error.reason, error.disposition.retry_same, error.disposition.fallback) == (
        *("NOT004", "no_recording", False, "no"),
    )
    assert "no recording in 'tapes' answers POST /v1/chat" in error.message
    assert "near.json; it differs in $.messages[0].content." in error.hint
    assert "plan" not in f"{error} {error.explain()} {error.to_dict()}"
    assert "ada" not in str(error)


async def test_many_differences_are_counted_and_an_empty_book_has_no_nearest() -> None:
    one: JSON = {f"k{at}": at for at in range(60)}
    with pytest.raises(LLMError) as caught:
        await send(ReplayPool(Book(Path("tapes"), [stored("a.json", Answered(200), one)], repeat=True)), body=b"{}")
    assert "$.k0, $.k1" in caught.value.hint
    assert "and others, 50 or more in all" in caught.value.hint
    with pytest.raises(LLMError) as caught:
        await send(ReplayPool(Book(Path("tapes"), (), repeat=True)))
    assert caught.value.hint.startswith("Record it")
    other = stored("a.json", Answered(200), [*range(9)])
    with pytest.raises(LLMError) as caught:
        await send(ReplayPool(Book(Path("tapes"), [other], repeat=True)), body=b"[9,9,9,9,9,9,9,9,9]")
    assert "and others, 9 in all" in caught.value.hint


async def test_what_was_scrubbed_when_it_was_recorded_still_fits() -> None:
    tapes = [stored("a", Answered(200, body=b"x"), {"user": "REDACTED"})]
    answer = await send(ReplayPool(Book(Path("tapes"), tapes, repeat=True)), body=b'{"user": "Bearer key"}')
    assert await answer.read() == b"x"


async def test_the_caps_of_the_wire_hold() -> None:
    def pool(status: int) -> ReplayPool:
        return ReplayPool(book(Answered(status, body=b"x" * 11)), cutting=Cutting(3))

    for read in ("limits.body", "limits.stream"):
        answer = await send(pool(200), SMALL)
        with pytest.raises(LLMError, match=read) as caught:
            await (answer.read() if read == "limits.body" else chunks(answer))
        assert caught.value.reason == "too_large"
    assert await (await send(pool(500), SMALL)).read() == b"xxxx"
    with pytest.raises(LLMError, match=r"limits\.request"):
        await send(pool(200), SMALL, body=b"1" * 21)


async def test_a_recorded_break_breaks_again_and_is_named_after_its_cause() -> None:
    for cut, reason in (("reset", "reset"), ("idle", "idle"), ("abandoned", "eof"), ("who knows", "eof")):
        answer = await send(ReplayPool(book(Answered(200, body=b"half", cut=cut))))
        pieces = answer.chunks()
        assert await pieces.__anext__() == b"half"
        with pytest.raises(LLMError, match="breaks off") as caught:
            await pieces.__anext__()
        assert caught.value.reason == reason


async def test_a_bound_that_has_passed_ends_a_replay() -> None:
    clock = FakeClock()
    pool = ReplayPool(book(Answered(200, body=b"abc")), clock, Cutting(1))
    bound = Bound(clock.now() + 5, "attempt")
    answer = await send(pool, bound=bound)
    pieces = answer.chunks()
    assert await pieces.__anext__() == b"a"
    clock.move(6)
    for late in (pieces.__anext__(), send(pool, bound=bound)):
        with pytest.raises(LLMError) as caught:
            await late
        assert caught.value.reason == "attempt"
    assert await (await send(ReplayPool(book(Answered(200, body=b"abc"))), bound=bound)).read() == b"abc"


async def test_a_closed_answer_and_a_closed_pool_give_nothing() -> None:
    pool = ReplayPool(book(Answered(200, body=b"abc")))
    answer = await send(pool)
    answer.close()
    with pytest.raises(LLMError, match="closed"):
        await answer.read()
    await pool.aclose()
    with pytest.raises(LLMError, match="closed") as caught:
        await send(pool)
    assert caught.value.reason == "closed"


async def test_a_replay_can_be_cancelled_between_two_pieces() -> None:
    answer = await send(ReplayPool(book(Answered(200, body=b"x" * 10_000)), cutting=Cutting(1)))
    task = asyncio.create_task(answer.read())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
