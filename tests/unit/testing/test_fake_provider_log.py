"""What the fake provider remembers and bills, beside what an independent client (httpx) was told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal

import httpx
import pytest

from loomwire.domain.pricing import Cost, Prices, Usage
from loomwire.testing import After, End, Failure, FakeProvider, Fault, HttpReply, Pace, RawReply, ReceivedRequest, Reply

DEAR = Prices.per_mtok(Decimal("1.1"), Decimal("4.7"), Decimal("0.3"))
CHEAP = Prices.per_mtok(Decimal("0.05"), Decimal("0.1"))
TEN_WORDS = Reply("one two three four five six seven eight nine ten", usage=Usage(100, 40, 20, 0, 8))


def ask(*, model: str = "m1", stream: bool = False) -> dict[str, object]:
    """Return a request's body."""
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}], "stream": stream}


@asynccontextmanager
async def client_of(provider: FakeProvider) -> AsyncGenerator[httpx.AsyncClient]:
    """Open the provider and a client whose base URL it is."""
    async with provider, httpx.AsyncClient(base_url=provider.base_url, trust_env=False) as http:
        yield http


async def left_after(provider: FakeProvider, events: int) -> ReceivedRequest:
    """Leave a stream after so many events; return the server's log entry once it has noticed."""
    url = f"{provider.base_url}/chat/completions"
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        http.stream("POST", url, json=ask(stream=True)) as answer,
    ):
        lines = (line async for line in answer.aiter_lines() if line.startswith("data: "))
        for _ in range(events):
            await anext(lines)
    await provider.until(lambda stats: stats.abandoned == 1)
    return provider.requests[-1]


async def test_an_answered_request_is_logged_with_id_model_status_and_times() -> None:
    provider = FakeProvider("Hello.")
    async with client_of(provider) as http:
        answer = await http.post("/chat/completions", json=ask())
    (entry,) = provider.requests
    assert entry.id == answer.headers["x-request-id"] == "req-000000000001"
    assert (entry.model, entry.stream, entry.status, entry.fault) == ("m1", False, 200, None)
    assert (entry.outcome, entry.origin, entry.connection, entry.number) == ("answered", 1, 1, 1)
    assert entry.first_byte_at is not None
    assert entry.ended_at is not None
    assert entry.received_at <= entry.first_byte_at <= entry.ended_at
    assert entry.sent == len(answer.content) + len(answer.headers.raw) * 4 + sum(
        len(name) + len(value) for name, value in answer.headers.raw
    ) + len("HTTP/1.1 200 OK\r\n\r\n")


async def test_refusals_carry_an_id_too() -> None:
    provider = FakeProvider(Reply(failure=Failure("throttled")), HttpReply(503))
    async with client_of(provider) as http:
        answers = [await http.post("/chat/completions", json=ask()) for _ in range(2)]
    assert [answer.headers["x-request-id"] for answer in answers] == [entry.id for entry in provider.requests]
    assert [entry.status for entry in provider.requests] == [429, 503]


async def test_the_key_is_not_in_the_repr_of_a_log_entry() -> None:
    provider = FakeProvider()
    async with client_of(provider) as http:
        await http.post("/chat/completions", json=ask(), headers={"authorization": "Bearer sk-canary"})
    assert "canary" not in repr(provider.requests)


async def test_a_fault_is_logged_by_name_unless_the_answer_cannot_be_wrong_like_that() -> None:
    provider = FakeProvider(
        Fault("stall"), Fault("error_midway"), lambda _: Fault("cut_reset"), After(0.0, Fault("ok"))
    )
    async with client_of(provider) as http:
        for timeout in (0.05, 1.0, 1.0, 1.0):
            with suppress(httpx.HTTPError):
                await http.post("/chat/completions", json=ask(), timeout=timeout)
        await provider.until(lambda stats: stats.answered + stats.abandoned == 4)
        assert [entry.fault for entry in provider.requests] == ["stall", None, "cut_reset", "ok"]
        assert [entry.outcome for entry in provider.requests] == ["abandoned", "answered", "broken", "answered"]
    assert provider.faults == {"stall": 1, "cut_reset": 1, "ok": 1}


async def test_a_reply_that_is_no_http_has_no_status_and_one_in_pieces_has() -> None:
    provider = FakeProvider(
        RawReply(b"hello", b"world, this is no HTTP", End.CLOSE), RawReply(b"HTTP", b"/1.1 20", b"4 x\r\n\r\n")
    )
    async with client_of(provider) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post("/chat/completions", json=ask())
        assert (await http.post("/chat/completions", json=ask())).status_code == 204
    assert [entry.status for entry in provider.requests] == [None, 204]


async def test_only_so_many_requests_are_remembered_while_the_books_go_on() -> None:
    provider = FakeProvider(keep=2)
    async with client_of(provider) as http:
        for _ in range(5):
            await http.post("/chat/completions", json=ask())
    assert [entry.number for entry in provider.requests] == [4, 5]
    assert provider.books.overall.requests == provider.books.overall.billed == 5


async def test_listeners_hear_of_every_end() -> None:
    heard: list[tuple[int, str]] = []
    provider = FakeProvider("Hi", Fault("hang"))
    provider.listen(lambda entry: heard.append((entry.number, entry.outcome)))
    async with client_of(provider) as http:
        await http.post("/chat/completions", json=ask())
        with pytest.raises(httpx.ReadTimeout):
            await http.post("/chat/completions", json=ask(), timeout=0.05)
        await provider.until(lambda stats: stats.abandoned == 1)
    assert heard == [(1, "answered"), (2, "abandoned")]


async def test_what_the_client_was_told_is_what_the_books_hold() -> None:
    provider = FakeProvider(then=TEN_WORDS)
    async with client_of(provider) as http:
        told = (await http.post("/chat/completions", json=ask())).json()["usage"]
        await http.post("/chat/completions", json=ask(model="m2", stream=True))
    book = provider.books.models["m1"]
    assert (told["prompt_tokens"], told["completion_tokens"]) == (book.usage.input_tokens, book.usage.output_tokens)
    assert told["prompt_tokens_details"]["cached_tokens"] == book.usage.cache_read_tokens == 20
    assert told["completion_tokens_details"]["reasoning_tokens"] == book.usage.reasoning_tokens == 8
    assert provider.books.overall.usage == Usage(200, 80, 40, 0, 16)
    assert provider.requests[0].billed == TEN_WORDS.usage


async def test_the_cost_rounds_every_answer_by_itself_as_clients_do() -> None:
    provider = FakeProvider(then=Reply("Hi", usage=Usage(1, 1)))
    async with client_of(provider) as http:
        for model in ("m1", "m1", "m2"):
            await http.post("/chat/completions", json=ask(model=model))
    one = DEAR.charge(Usage(1, 1))
    assert isinstance(one, Cost)
    assert provider.books.cost(DEAR) == provider.books.overall.cost(DEAR) == 3 * one.micro_usd == 18
    assert provider.books.cost({"m1": DEAR, "m2": CHEAP}) == 2 * one.micro_usd + 1


async def test_a_model_without_a_price_is_no_free_model() -> None:
    provider = FakeProvider()
    async with client_of(provider) as http:
        await http.post("/chat/completions", json=ask())
    with pytest.raises(KeyError):
        provider.books.cost({"m2": CHEAP})


async def test_refusals_and_faults_before_the_model_ran_bill_nothing() -> None:
    provider = FakeProvider(Reply(failure=Failure("overloaded")), Fault("status", status=503), Fault("reset"))
    async with client_of(provider) as http:
        for _ in range(2):
            await http.post("/chat/completions", json=ask())
        with pytest.raises(httpx.HTTPError):
            await http.post("/chat/completions", json=ask())
        await http.get("/nothing")
    books = provider.books
    assert (books.models["m1"].requests, books.models["m1"].billed, books.cost(DEAR)) == (3, 0, 0)
    assert books.models[""].requests == 1
    assert books.overall.usage == Usage()


async def test_a_left_stream_bills_its_input_and_the_share_of_its_output_that_left() -> None:
    async with FakeProvider(then=TEN_WORDS, pace=Pace(tokens_per_s=40)) as provider:
        entry = await left_after(provider, 4)
    billed = entry.billed
    assert billed is not None
    assert (billed.input_tokens, billed.cache_read_tokens) == (100, 20)
    assert 8 <= billed.output_tokens < 40
    assert billed.reasoning_tokens == 8
    assert entry.outcome == "abandoned"


async def test_a_stream_left_before_its_first_token_bills_no_output() -> None:
    async with FakeProvider(then=TEN_WORDS, pace=Pace(first_token_s=30)) as provider:
        entry = await left_after(provider, 0)
    assert entry.billed == Usage(100, 0, 20, 0, 0)


async def test_a_plain_answer_that_was_cut_is_billed_in_full() -> None:
    provider = FakeProvider(Reply("Hello there, world.", usage=Usage(5, 7), cut_after=3))
    async with client_of(provider) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post("/chat/completions", json=ask())
    assert (provider.requests[0].outcome, provider.requests[0].billed) == ("broken", Usage(5, 7))


async def test_a_cut_stream_bills_what_was_said() -> None:
    provider = FakeProvider(Fault("cut_close", TEN_WORDS))
    async with client_of(provider) as http:
        answer = await http.post("/chat/completions", json=ask(stream=True))
    assert b"[DONE]" not in answer.content
    billed = provider.requests[0].billed
    assert billed is not None
    assert 10 < billed.output_tokens < 30


async def test_the_books_are_a_snapshot() -> None:
    provider = FakeProvider()
    async with client_of(provider) as http:
        before = provider.books
        await asyncio.gather(*(http.post("/chat/completions", json=ask()) for _ in range(3)))
    assert (before.overall.requests, provider.books.overall.requests) == (0, 3)
    assert json.dumps(before.overall.usage.to_dict())
