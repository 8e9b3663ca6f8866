"""The whole chain with a cache, against a real server on loopback: what is sent, who gets what, and what is left."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from loomwire import ILLMClient, LLMConfig, LLMContainer, LLMRequest
from loomwire.domain.caching.policies import CachePolicy
from loomwire.domain.config import ClientConfig
from loomwire.domain.errors import LLMError, LoomError
from loomwire.domain.policies import RetryPolicy
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.testing import FakeProvider, HttpReply, Reply, chat_events
from loomwire.testing.queued import Queued
from loomwire.testing.wire import Piece, ReceivedRequest
from support.keeping import read
from support.torture import Baseline, fresh_calls

HI = LLMRequest.of("Tell me about weaving.", deadline_s=60)
WORDS = "A shuttle goes to and fro, and every pass leaves one thread more behind."
ALWAYS = CachePolicy(mode="always")


@asynccontextmanager
async def talking(then: Queued, policy: CachePolicy = ALWAYS) -> AsyncGenerator[tuple[FakeProvider, LLMContainer]]:
    """Run a provider and the whole chain in front of it."""
    async with FakeProvider(then=then) as provider:
        target = LLMConfig.custom("m", base_url=provider.base_url, allow_private=True, retry=RetryPolicy(attempts=1))
        target = replace(target, timeouts=replace(target.timeouts, pool_queue_s=60.0))
        client = ClientConfig(name="it", targets=(target,), cache=policy)
        async with await asyncio.to_thread(LLMContainer.of, {"it": client}) as container:
            yield provider, container


@pytest.mark.parametrize("kinds", ["plain", "streamed", "mixed"])
async def test_a_thousand_equal_calls_at_once_are_one_request(kinds: str) -> None:
    ways = {"plain": [False], "streamed": [True], "mixed": [True, False]}[kinds]
    async with talking(Reply(WORDS, delay_s=0.3)) as (provider, container):
        client = container.llm_client("it")
        calls = (read(client, HI) if ways[number % len(ways)] else client.generate(HI) for number in range(1000))
        answers = await asyncio.gather(*calls)
        assert {answer.text for answer in answers} == {WORDS}
        assert Counter(answer.cached for answer in answers) == {True: 999, False: 1}
        assert provider.stats.requests == 1
        assert (await client.generate(HI)).cached
        assert (await read(client, HI)).text == WORDS
        assert provider.stats.requests == 1


async def test_a_stream_that_is_read_along_comes_as_it_is_said() -> None:
    gate = asyncio.Event()
    events = chat_events(Reply(WORDS))
    async with talking(HttpReply(chunks=[*events[:4], gate, *events[4:]])) as (provider, container):
        client = container.llm_client("it")
        async with client.stream(HI) as first, client.stream(HI) as second:
            heads = [await anext(aiter(first)), await anext(aiter(second))]
            assert heads[0] == heads[1]
            gate.set()
            assert [event async for event in first] == [event async for event in second]
            assert first.response.text == second.response.text == WORDS
        assert provider.stats.requests == 1


async def test_the_first_of_many_may_be_cancelled_and_the_last_one_ends_it_at_the_server() -> None:
    async with talking(Reply(WORDS, delay_s=30.0)) as (provider, container):
        client = container.llm_client("it")
        calls = [asyncio.create_task(read(client, HI)) for _ in range(3)]
        calls += [asyncio.create_task(client.generate(HI)) for _ in range(3)]
        await provider.until(lambda stats: stats.requests == 1)
        calls[0].cancel()
        await asyncio.wait([calls[0]])
        assert (provider.stats.abandoned, sum(call.done() for call in calls)) == (0, 1)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        stats = await provider.until(lambda stats: stats.abandoned == 1)
        assert stats.requests == 1
        assert container.resolve(IConnectionPool).get_stats().active == 0


async def test_errors_go_to_all_and_are_not_kept() -> None:
    async with talking(Reply(WORDS)) as (provider, container):
        client = container.llm_client("it")
        provider.queue(HttpReply(status=503))
        errors = await asyncio.gather(*(client.generate(HI) for _ in range(20)), return_exceptions=True)
        assert all(isinstance(error, LLMError) and error.status == 503 for error in errors)
        assert len({id(error) for error in errors}) == 20
        assert provider.stats.requests == 1
        assert not (await client.generate(HI)).cached


async def test_closing_in_the_middle_ends_everybody_with_a_typed_error() -> None:
    outside = Baseline.now()
    async with talking(Reply(WORDS, delay_s=30.0)) as (provider, container):
        client = container.llm_client("it")
        calls = [asyncio.create_task(client.generate(HI)) for _ in range(5)]
        calls += [asyncio.create_task(read(client, HI)) for _ in range(5)]
        await provider.until(lambda stats: stats.requests == 1)
        await container.aclose(drain=0.01)
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(end, LLMError) and end.reason == "closed" for end in ends)
    assert (await outside.returns()).tasks <= outside.tasks


async def test_closing_ends_what_is_renewed_behind_too() -> None:
    outside = Baseline.now()
    async with talking(Reply(WORDS), replace(ALWAYS, ttl_s=0.001, swr_s=60.0)) as (provider, container):
        client = container.llm_client("it")
        await client.generate(HI)
        provider.queue(Reply(WORDS, delay_s=30.0))
        while provider.stats.requests < 2:
            assert (await client.generate(HI)).text == WORDS
            # What is there is given without waiting for anything.
            await asyncio.sleep(0)
        await container.aclose(drain=0.01)
    assert (await outside.returns()).tasks <= outside.tasks


def paced(request: ReceivedRequest) -> HttpReply | Reply:
    """Say it piece by piece, so that there is a time between any two of them."""
    if request.stream is not True:
        return Reply(WORDS, delay_s=0.005)
    pieces: list[Piece] = []
    for event in chat_events(Reply(WORDS)):
        pieces += [event, 0.001]
    return HttpReply(chunks=pieces)


async def one(client: ILLMClient, dice: random.Random) -> str:
    """Make a call of one of a few questions, and cancel it somewhere, once or twice, or not."""
    request = LLMRequest.of(dice.choice("abc"), deadline_s=60)
    call = asyncio.ensure_future(read(client, request) if dice.random() < 0.6 else client.generate(request))
    way = dice.choice(["time", "turns", "twice", "never"])
    if way == "time":
        await asyncio.wait([call], timeout=dice.random() * 0.02)
    elif way != "never":
        for _ in range(dice.randrange(40)):
            await asyncio.sleep(0)
    if way != "never":
        call.cancel()
    if way == "twice":
        await asyncio.sleep(0)
        call.cancel()
    try:
        return "right" if (await call).text == WORDS else "wrong"
    except asyncio.CancelledError:
        return "cancelled"


async def tortured(cancels: int) -> Counter[str]:
    """Cancel so many calls at random moments and check that nothing is left of them; return how all calls ended."""
    dice = random.Random(cancels)
    ends: Counter[str] = Counter()
    # So short that answers are found, shared and asked for all the time.
    async with talking(paced, replace(ALWAYS, ttl_s=0.02, swr_s=0.01)) as (provider, container):
        client, pool = container.llm_client("it"), container.resolve(IConnectionPool)
        fresh = container.llm_client("it")
        assert await fresh_calls(fresh) == 20
        before = Baseline.now()

        async def worker() -> None:
            while ends["cancelled"] < cancels:
                try:
                    ends[await one(client, dice)] += 1
                except LoomError as error:
                    ends[error.code] += 1

        await asyncio.gather(*(worker() for _ in range(50)))
        await provider.until(lambda stats: stats.answered + stats.abandoned == stats.requests)
        left = await before.returns()
        assert (pool.get_stats().active, pool.get_stats().waiting) == (0, 0)
        assert (left.tasks <= before.tasks, left.descriptors <= before.descriptors) == (True, True)
        assert await fresh_calls(fresh) == 20
        ends["sent"] = provider.stats.requests
    return ends


async def test_calls_cancelled_at_any_moment_leave_nothing() -> None:
    ends = await tortured(200)
    assert set(ends) == {"cancelled", "right", "sent"}


@pytest.mark.full
async def test_ten_thousand_calls_cancelled_at_any_moment_leave_nothing() -> None:
    outside = Baseline.now()
    ends = await tortured(10_000)
    assert set(ends) == {"cancelled", "right", "sent"}
    left = await outside.returns()
    assert (left.tasks <= outside.tasks, left.descriptors <= outside.descriptors) == (True, True)
