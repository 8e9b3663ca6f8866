"""Streams that break on a real connection, in every dialect: what is told, what begins anew, what is given back."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from loomwire import ILLMClient, LLMContainer
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.errors import StreamInterruptedError
from loomwire.domain.events import StreamEvent, StreamRestarted, TextDelta, ToolCallDelta, ToolCallStart
from loomwire.domain.policies import BreakerPolicy, ExhaustedPolicy, RatePolicy, RetryPolicy
from loomwire.domain.ports.client import LLMStream
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.domain.requests import LLMRequest
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.table import DIALECTS
from loomwire.testing import FakeProvider, Fault, Reply
from loomwire.testing.queued import Queued
from loomwire.testing.wire import ReceivedRequest
from support.chains import HI
from support.dialects import target_of
from support.folders import folder

AGAIN = replace(HI, resume="restart")
WHOLE = "And then it was done."
LONG = "A shuttle goes to and fro, and every pass leaves one thread more behind than there was before it came."
BREAKS = ("cut_close", "cut_reset", "cut_clean", "stall")


@asynccontextmanager
async def weaving(dialect: str, then: Queued = WHOLE) -> AsyncGenerator[tuple[FakeProvider, LLMContainer]]:
    """Run a provider and a container whose client may have one call at a time on it."""
    async with FakeProvider(then=then) as provider:
        target = target_of(dialect, provider.base_url)
        target = replace(
            target,
            timeouts=replace(target.timeouts, idle_s=0.05),
            retry=RetryPolicy(attempts=1, base_s=0.0),
            rate=RatePolicy(concurrency=1),
            # What is broken here on purpose must not open the circuit.
            breaker=BreakerPolicy(min_calls=1000, consecutive=1000),
        )
        clients: dict[str, LLMConfig | ClientConfig] = {
            "it": target,
            "canned": ClientConfig(name="", targets=(target,), on_exhausted=ExhaustedPolicy("static", "Later.")),
        }
        async with await asyncio.to_thread(LLMContainer.of, clients) as container:
            yield provider, container


async def read(client: ILLMClient, request: LLMRequest, events: list[StreamEvent]) -> LLMStream:
    """Read a stream to its end, noting what comes."""
    async with client.stream(request) as stream:
        async for event in stream:
            events.append(event)  # noqa: PERF401  # they are looked at when the stream breaks
        return stream


def text(events: list[StreamEvent]) -> str:
    """Return the text of events."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def nothing_is_held(provider: FakeProvider, container: LLMContainer) -> None:
    """Check that no connection is out, and that the one slot there is has come back."""
    stats = container.resolve(IConnectionPool).get_stats()
    assert (stats.active, stats.waiting) == (0, 0)
    answer = await asyncio.wait_for(container.llm_client("it").generate(HI), 5)
    assert answer.text == WHOLE
    await provider.until(lambda stats: stats.answered + stats.abandoned == stats.requests)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_broken_stream_tells_exactly_what_was_delivered_and_is_not_sent_again(dialect: str) -> None:
    async with weaving(dialect) as (provider, container):
        for fault in BREAKS:
            before = len(provider.requests)
            provider.queue(Fault(fault, LONG))
            events: list[StreamEvent] = []
            with pytest.raises(StreamInterruptedError) as caught:
                await read(container.llm_client("it"), HI, events)
            assert caught.value.partial_text == text(events) != ""
            assert LONG.startswith(caught.value.partial_text)
            assert len(provider.requests) == before + 1, fault
            await nothing_is_held(provider, container)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_broken_stream_begins_anew_when_the_request_asks_for_it(dialect: str) -> None:
    async with weaving(dialect) as (provider, container):
        for fault in BREAKS:
            before = len(provider.requests)
            provider.queue(Fault(fault, LONG), Fault(fault, LONG), WHOLE)
            events: list[StreamEvent] = []
            stream = await read(container.llm_client("it"), AGAIN, events)
            restarts = [at for at, event in enumerate(events) if isinstance(event, StreamRestarted)]
            assert len(restarts) == 2, fault
            assert text(events[restarts[-1] :]) == stream.response.text == WHOLE
            assert [step.outcome for step in stream.response.steps] == [
                *("failed", "restarted", "failed", "restarted", "answered")
            ]
            assert len(provider.requests) == before + 3
            await nothing_is_held(provider, container)


@pytest.mark.parametrize("request_", [HI, AGAIN], ids=["never", "restart"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_stream_that_is_left_closes_its_connection_and_gives_its_slot_back(
    dialect: str, request_: LLMRequest
) -> None:
    async with weaving(dialect) as (provider, container):
        provider.queue(Fault("stall", LONG))
        async with container.llm_client("it").stream(request_) as stream:
            async for _ in stream:
                break
        await provider.until(lambda stats: stats.open_connections == 0)
        assert provider.stats.abandoned == 1
        await nothing_is_held(provider, container)
        assert container.health().clients["it"].abandoned == 1
        assert len(provider.requests) == 2


async def test_streams_cancelled_while_they_break_and_begin_anew_leave_nothing_behind() -> None:
    draw = random.Random(6)

    def play(request: ReceivedRequest) -> Fault | str:
        return Fault("cut_reset", LONG) if request.stream and draw.random() < 0.6 else WHOLE

    async with weaving("openai_chat", play) as (provider, container):
        client = container.llm_client("it")
        ends: Counter[str] = Counter()
        for _ in range(60):
            call = asyncio.ensure_future(read(client, AGAIN, []))
            await asyncio.wait((call,), timeout=draw.uniform(0.0, 0.015))
            call.cancel()
            await asyncio.wait((call,))
            ends["cancelled" if call.cancelled() else "failed" if call.exception() else "answered"] += 1
        assert ends["cancelled"] > 10
        assert ends["answered"] > 0
        await nothing_is_held(provider, container)
        counts = container.health().clients["it"]
        assert (counts.answered, counts.failed) == (ends["answered"] + 1, ends["failed"])


async def test_a_tool_call_that_was_begun_is_void_after_a_restart() -> None:
    async with weaving("openai_chat") as (provider, container):
        provider.queue(Reply(tool_calls=(ToolCall("c1", "weave", {"threads": 12345678}),), cut_after=12), WHOLE)
        events: list[StreamEvent] = []
        stream = await read(container.llm_client("it"), replace(AGAIN, tools=(Tool("weave"),)), events)
        assert [type(event) for event in events[:2]] == [ToolCallStart, ToolCallDelta]
        assert StreamRestarted in map(type, events)
        assert (stream.response.text, stream.response.tool_calls) == (WHOLE, ())


async def test_synchronous_code_gets_the_restart_as_an_event_too() -> None:
    async with weaving("openai_chat") as (provider, container):
        provider.queue(Fault("cut_reset", LONG))

        def told() -> tuple[list[type[StreamEvent]], str]:
            with container.sync_client("it").stream(AGAIN) as stream:
                events = [type(event) for event in stream]
                return events, stream.response.text

        events, answer = await asyncio.to_thread(told)
        assert (events.count(StreamRestarted), answer) == (1, WHOLE)


async def test_a_provider_that_is_down_is_answered_for_and_no_success() -> None:
    async with weaving("openai_chat") as (provider, container):
        client = container.llm_client("canned")
        provider.queue(Fault("status", status=503), Fault("status", status=503))
        answer = await client.generate(HI)
        events: list[StreamEvent] = []
        stream = await read(client, HI, events)
        assert (answer.text, text(events)) == ("Later.", "Later.")
        assert answer.degraded
        assert stream.response.degraded
        counts = container.health().clients["canned"]
        assert (counts.answered, counts.failed, dict(counts.errors)) == (0, 2, {"TMP002": 2})
        await nothing_is_held(provider, container)


@pytest.mark.parametrize(
    ("exhausted", "said"),
    [
        ({"mode": "static", "text": "Later."}, "Later."),
        ({"mode": "callable", "function": "support.standing_in:plain"}, "Hi: TMP001"),
    ],
)
async def test_a_file_says_what_is_answered_when_nobody_answers(
    tmp_path: Path, exhausted: Mapping[str, JSON], said: str
) -> None:
    planner: Mapping[str, JSON] = {"models": ["helper"], "on_exhausted": exhausted}
    script: list[Mapping[str, JSON]] = [{"error": "server", "repeat": True}]
    where = await asyncio.to_thread(
        folder, tmp_path, script, clients={"planner": planner}, defaults={"retry": {"attempts": 1}}
    )
    async with LLMContainer.aopen(where, watch=False) as container:
        answer = await container.llm_client("planner").generate(HI)
    assert (answer.text, answer.degraded) == (said, True)
