"""Closing a container: calls in flight may end, the rest is ended with a typed error, nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from loomwire import ILLMClient, LLMConfig, LLMContainer, LLMRequest
from loomwire.application.sync import SyncLLMClient
from loomwire.domain.errors import ClientRemovedError, LLMTimeoutError, LLMValidationError
from loomwire.domain.policies import RatePolicy, RetryPolicy
from loomwire.domain.ports.client import LLMStream
from loomwire.testing import FakeProvider, HttpReply, Reply, chat_events
from loomwire.testing.wire import Piece, ReceivedRequest
from support.folders import folder, served
from support.threads import loom_threads
from support.torture import Baseline

HI = LLMRequest.of("Hi")
SLOW_S = 0.15
LOCAL = LLMConfig.custom("m", base_url="http://127.0.0.1:1", allow_private=True)


def slow(request: ReceivedRequest) -> HttpReply | Reply:
    """Answer after a while; stream with a pause that outlasts every test."""
    if not request.stream:
        return Reply("At last.", delay_s=SLOW_S)
    events = chat_events(Reply("one two three"))
    pieces: list[Piece] = [*events[:3], 30.0, *events[3:]]
    return HttpReply(chunks=pieces)


@asynccontextmanager
async def opened(
    then: Callable[[ReceivedRequest], HttpReply | Reply | str] | Reply = slow, model: LLMConfig = LOCAL
) -> AsyncGenerator[tuple[LLMContainer, ILLMClient, FakeProvider]]:
    """Run a provider and a container in front of it; the test closes it, and nothing of it may be left."""
    outside = Baseline.now()
    threads = threading.active_count()
    async with FakeProvider(then=then) as provider:
        config = replace(model, base_url=provider.base_url)
        container = await asyncio.to_thread(LLMContainer.of, {"it": config})
        yield container, container.llm_client("it"), provider
        await container.aclose()
        stats = container.health()
        assert (stats.in_flight, stats.pool.active, stats.pool.waiting) == (0, 0, 0)
    left = await outside.returns()
    assert left.descriptors <= outside.descriptors
    assert left.tasks <= outside.tasks
    assert loom_threads() == []
    # The default executor's may have grown, and stay.
    assert threading.active_count() <= threads + 4


async def test_calls_in_flight_end_by_themselves_and_new_ones_are_refused_meanwhile() -> None:
    async with opened() as (container, client, provider):
        calls = [asyncio.create_task(client.generate(HI)) for _ in range(5)]
        await provider.until(lambda stats: stats.requests == 5)
        closing = asyncio.create_task(container.aclose(drain=10))
        await asyncio.sleep(0)
        with pytest.raises(ClientRemovedError, match="after its container was closed"):
            await client.generate(HI)
        assert not closing.done()
        assert [answer.text for answer in await asyncio.gather(*calls)] == ["At last."] * 5
        await closing
        assert provider.stats.requests == 5


async def test_what_goes_on_for_too_long_ends_with_a_typed_error_and_the_provider_is_hung_up_on() -> None:
    def late(request: ReceivedRequest) -> HttpReply | Reply:
        return slow(request) if request.stream else Reply("late", delay_s=30.0)

    async with opened(late) as (container, client, provider):
        call = asyncio.create_task(client.generate(HI))
        reading = asyncio.create_task(_read(client))
        await provider.until(lambda stats: stats.requests == 2)
        began = time.monotonic()
        await container.aclose(drain=0.02)
        assert time.monotonic() - began < 5
        for each in (call, reading):
            with pytest.raises(ClientRemovedError) as caught:
                await each
            assert (caught.value.reason, each.cancelling()) == ("closed", 0)
        await provider.until(lambda stats: stats.abandoned == 2)
        assert container.health().clients["it"].failed == 0


async def _read(client: ILLMClient) -> list[str]:
    async with client.stream(HI) as stream:
        return [str(event) async for event in stream]


async def test_a_call_that_waits_for_its_turn_or_for_the_next_attempt_is_ended_too() -> None:
    one_at_a_time = replace(LOCAL, rate=RatePolicy(concurrency=1))
    async with opened(Reply("late", delay_s=30.0), one_at_a_time) as (container, client, provider):
        calls = [asyncio.create_task(client.generate(HI)) for _ in range(3)]
        await provider.until(lambda stats: stats.requests == 1)
        await container.aclose(drain=0)
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in ends] == [ClientRemovedError] * 3
    patient = replace(LOCAL, retry=RetryPolicy(base_s=20, max_delay_s=20))
    async with opened(lambda _: HttpReply(status=500), patient) as (container, client, provider):
        call = asyncio.create_task(client.generate(HI))
        await provider.until(lambda stats: stats.answered == 1)
        await container.aclose(drain=0)
        with pytest.raises(ClientRemovedError):
            await call
        assert provider.stats.requests == 1


async def test_a_second_closing_hurries_the_first() -> None:
    async with opened(Reply("late", delay_s=30.0)) as (container, client, provider):
        call = asyncio.create_task(client.generate(HI))
        await provider.until(lambda stats: stats.requests == 1)
        first = asyncio.create_task(container.aclose(drain=60))
        joined = asyncio.create_task(container.aclose())
        await asyncio.wait([first, joined], timeout=0.03)
        assert not first.done()
        await container.aclose(drain=0)
        await asyncio.gather(first, joined)
        with pytest.raises(ClientRemovedError):
            await call


async def test_a_cancelled_closing_ends_the_calls_and_closes_everything() -> None:
    async with opened(Reply("late", delay_s=30.0)) as (container, client, provider):
        call = asyncio.create_task(client.generate(HI))
        await provider.until(lambda stats: stats.requests == 1)
        closing = asyncio.create_task(container.aclose())
        await asyncio.sleep(0.01)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(ClientRemovedError):
            await call
        assert container.health().pool.idle == 0


async def test_a_block_that_is_left_by_a_cancellation_does_not_wait_for_calls(tmp_path: Path) -> None:
    async with FakeProvider(then=Reply("late", delay_s=30.0)) as provider:
        begun = asyncio.Event()
        calls: list[asyncio.Task[object]] = []

        async def host() -> None:
            async with LLMContainer.aopen(served(tmp_path, provider.base_url)) as container:
                calls.append(asyncio.create_task(container.llm_client("planner").generate(HI)))
                await provider.until(lambda stats: stats.requests == 1)
                begun.set()
                await asyncio.Event().wait()

        hosting = asyncio.create_task(host())
        await begun.wait()
        began = time.monotonic()
        hosting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hosting
        assert time.monotonic() - began < 5
        with pytest.raises(ClientRemovedError):
            await calls[0]


async def test_after_an_error_calls_have_a_second_at_most_and_no_more_than_is_configured(tmp_path: Path) -> None:
    where = folder(
        tmp_path,
        [{"text": "late", "delay_s": 30, "repeat": True}],
        defaults={"shutdown": {"drain": 0.02}},
    )
    begun = 0.0

    async def host() -> None:
        nonlocal begun
        async with LLMContainer.aopen(where) as container:
            calls.append(asyncio.create_task(container.llm_client("planner").generate(HI)))
            await asyncio.sleep(0.01)
            begun = time.monotonic()
            raise KeyError("the host's own")

    calls: list[asyncio.Task[object]] = []
    with pytest.raises(KeyError, match="the host's own"):
        await host()
    assert 0.02 <= time.monotonic() - begun < 0.9
    with pytest.raises(ClientRemovedError):
        await calls[0]


async def test_an_edit_while_calls_end_changes_nothing(tmp_path: Path) -> None:
    async with FakeProvider(then=slow) as provider:
        where = served(tmp_path, provider.base_url)
        container = await asyncio.to_thread(LLMContainer.open, where)
        call = asyncio.create_task(container.llm_client("planner").generate(HI))
        await provider.until(lambda stats: stats.requests == 1)
        closing = asyncio.create_task(container.aclose())
        await asyncio.sleep(0)
        text = (where / "loomwire.yaml").read_text(encoding="utf-8")
        edited = json.loads(text)
        edited["models"]["helper"]["model"] = "other"
        (where / "loomwire.yaml").write_text(json.dumps(edited), encoding="utf-8")
        assert (await container.areload()).outcome == "unchanged"
        assert (await call).text == "At last."
        await closing
        assert container.health().generation == 1


async def test_blocking_calls_of_threads_end_by_themselves_or_are_ended() -> None:
    async with opened() as (container, _, provider):
        client = container.sync_client("it")
        call = asyncio.create_task(asyncio.to_thread(client.generate, HI))
        await provider.until(lambda stats: stats.requests == 1)
        await asyncio.to_thread(container.close, drain=10)
        assert (await call).text == "At last."
    async with opened(Reply("late", delay_s=30.0)) as (container, _, provider):
        client = container.sync_client("it")
        call = asyncio.create_task(asyncio.to_thread(client.generate, HI))
        await provider.until(lambda stats: stats.requests == 1)
        await asyncio.to_thread(container.close, drain=0.01)
        with pytest.raises(ClientRemovedError, match="was ended because its container was closed"):
            await call


async def test_a_blocking_stream_that_is_read_while_its_container_closes_is_ended() -> None:
    async with opened() as (container, _, provider):
        client = container.sync_client("it")

        def read() -> list[str]:
            with client.stream(HI) as stream:
                return [str(event) for event in stream]

        reading = asyncio.create_task(asyncio.to_thread(read))
        await provider.until(lambda stats: stats.requests == 1)
        await asyncio.to_thread(container.close, drain=0)
        with pytest.raises(ClientRemovedError):
            await reading


async def test_a_blocking_stream_that_nobody_reads_while_its_container_closes_counts_as_left() -> None:
    async with opened() as (container, _, _):

        def read() -> None:
            with container.sync_client("it").stream(HI) as stream:
                next(stream)
                container.close(drain=0)
                assert container.health().in_flight == 0

        await asyncio.to_thread(read)
        assert container.health().clients["it"].abandoned == 1


async def test_closing_from_synchronous_code_inside_a_loop_does_not_stop_the_loop() -> None:
    async with opened(Reply("late", delay_s=30.0)) as (container, client, provider):
        call = asyncio.create_task(client.generate(HI))
        await provider.until(lambda stats: stats.requests == 1)
        began = time.monotonic()
        container.close(drain=60)
        assert time.monotonic() - began < 5
        with pytest.raises(ClientRemovedError):
            await call


def test_an_interrupt_while_closing_ends_the_calls_and_closes_everything() -> None:
    containers: list[LLMContainer] = []
    ends: list[object] = []
    ready = threading.Event()

    async def host() -> None:
        async with FakeProvider(then=Reply("late", delay_s=30.0)) as provider:
            model = replace(LOCAL, base_url=provider.base_url)
            containers.append(await asyncio.to_thread(LLMContainer.of, {"it": model}))
            call = asyncio.create_task(containers[0].llm_client("it").generate(HI))
            await provider.until(lambda stats: stats.requests == 1)
            ready.set()
            ends.extend(await asyncio.gather(call, return_exceptions=True))

    thread = threading.Thread(target=asyncio.run, args=(host(),))
    thread.start()
    assert ready.wait(5)
    main = threading.main_thread().ident or 0
    interrupting = threading.Timer(0.03, signal.pthread_kill, (main, signal.SIGINT))
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        containers[0].close()
    interrupting.join()
    assert containers[0].closed
    assert loom_threads() == []
    thread.join(5)
    assert [type(end) for end in ends] == [ClientRemovedError]


async def test_a_wrong_drain_is_refused_and_nothing_is_closed() -> None:
    async with opened() as (container, client, _):
        with pytest.raises(LLMValidationError, match="cannot go on for -1"):
            await container.aclose(drain=-1)
        assert (await client.generate(HI)).text == "At last."


async def test_a_call_below_its_deadline_keeps_its_own_errors_while_the_container_drains() -> None:
    async with opened(Reply("late", delay_s=30.0)) as (container, client, provider):
        call = asyncio.create_task(client.generate(LLMRequest.of("Hi", deadline_s=0.3)))
        await provider.until(lambda stats: stats.requests == 1)
        await container.aclose(drain=10)
        with pytest.raises(LLMTimeoutError) as caught:
            await call
        assert caught.value.reason == "deadline"


async def test_a_stream_that_is_read_to_its_end_is_waited_for() -> None:
    async with opened(lambda _: "one two") as (container, client, _):
        async with client.stream(HI) as stream:
            closing = asyncio.create_task(container.aclose(drain=10))
            await asyncio.sleep(0.01)
            assert not closing.done()
            assert await _text(stream) == "one two"
        await closing


async def _text(stream: LLMStream) -> str:
    async for _ in stream:
        pass
    return stream.response.text


async def closed_under_load(rounds: int) -> tuple[Counter[str], float]:
    """Close a container in the middle of its work again and again; return how calls ended, and the longest closing.

    Calls are plain and streamed, of tasks and of threads; the closing is cancelled, doubled or left alone.
    """
    dice = random.Random(rounds)
    ends: Counter[str] = Counter()
    longest = 0.0
    for number in range(rounds):
        drain = dice.choice([0.0, 0.005, SLOW_S * 2])
        async with opened(hasty) as (container, client, _):
            blocking = container.sync_client("it")
            calls = [asyncio.create_task(dice.choice([_ask, _text_of])(client)) for _ in range(20)]
            calls += [asyncio.create_task(asyncio.to_thread(_ask_blocking, blocking)) for _ in range(3)]
            await asyncio.sleep(dice.random() * 0.01)
            began = time.monotonic()
            closings = [asyncio.create_task(container.aclose(drain=drain)) for _ in range(1 + number % 2)]
            if number % 5 == 0:
                await asyncio.sleep(0)
                closings[0].cancel()
            await asyncio.wait(closings)
            longest = max(longest, time.monotonic() - began - drain)
            for end in await asyncio.gather(*calls, return_exceptions=True):
                ends[end if isinstance(end, str) else getattr(end, "reason", repr(end))] += 1
    return ends, longest


def hasty(request: ReceivedRequest) -> HttpReply | Reply:
    """Answer or stream within a few milliseconds."""
    if not request.stream:
        return Reply("At last.", delay_s=0.004)
    pieces: list[Piece] = []
    for event in chat_events(Reply("At last.")):
        pieces += [0.001, event]
    return HttpReply(chunks=pieces)


async def _ask(client: ILLMClient) -> str:
    return (await client.generate(HI)).text


async def _text_of(client: ILLMClient) -> str:
    async with client.stream(HI) as stream:
        return await _text(stream)


def _ask_blocking(client: SyncLLMClient) -> str:
    return client.generate(HI).text


async def test_whatever_goes_on_every_call_ends_well_or_with_a_typed_error_and_in_time() -> None:
    ends, longest = await closed_under_load(8)
    assert set(ends) <= {"At last.", "closed"}
    assert min(ends.values()) > 0
    assert longest < 5.0  # a hang, and not a measurement


@pytest.mark.full
async def test_whatever_goes_on_every_call_ends_well_or_with_a_typed_error_two_hundred_times() -> None:
    ends, longest = await closed_under_load(200)
    assert set(ends) <= {"At last.", "closed"}
    assert longest < 5.0  # a hang, and not a measurement
