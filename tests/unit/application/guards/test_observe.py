from __future__ import annotations

import asyncio
import logging

import pytest
from typing_extensions import override

from loomwire.application.guards.observe import Observe
from loomwire.application.state.stats import CallStats
from loomwire.domain.errors import LLMNetworkError, LLMRateLimitError, LLMTimeoutError, StreamInterruptedError
from loomwire.domain.events import CallOutcome, CallRecord
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.ports.events import IEventSink, ISelectiveSink
from loomwire.domain.pricing import Cost, Usage
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.testing import FakeClock, RecordingSink, ScriptedClient
from support.chains import HI, BreakingClient, chain_of, hanging, turns


class BrokenSink(IEventSink):
    """Raises whatever it is told."""

    @override
    def emit(self, record: CallRecord) -> None:
        raise ValueError("the host's own bug")


async def read(client: ILLMClient, request: LLMRequest = HI) -> LLMResponse[str]:
    """Read a stream to its end."""
    async with client.stream(request) as stream:
        _ = [event async for event in stream]
    return stream.response


async def test_an_answer_is_recorded_with_who_what_and_how_long() -> None:
    clock, sink = FakeClock(), RecordingSink()
    answer = LLMResponse("Hi", "Hi", "vendor", "m-2025", usage=Usage(input_tokens=3, output_tokens=2), cost=Cost(7))
    asked = LLMRequest(HI.messages, tenant="acme", session="s1", tags=frozenset({"night"}))

    async def slow(_: LLMRequest) -> LLMResponse[str]:
        await clock.sleep(1.5)
        return answer

    client, stats = chain_of(ScriptedClient(slow), clock, [sink])
    call = asyncio.create_task(client.generate(asked))
    await clock.advance(1.5)
    await call
    assert (sink.calls[0].client, sink.calls[0].outcome, sink.calls[0].model) == ("planner", "answered", "m-2025")
    assert (sink.calls[0].tenant, sink.calls[0].session, sink.calls[0].tags) == ("acme", "s1", frozenset({"night"}))
    assert (sink.calls[0].latency_s, sink.calls[0].usage, sink.calls[0].cost) == (1.5, answer.usage, Cost(7))
    assert (sink.attempts[0].provider, sink.attempts[0].model) == ("vendor", "m-2025")
    assert stats.counts("client:planner").latency_s == 1.5


async def test_an_error_is_recorded_with_its_code_and_its_target() -> None:
    sink = RecordingSink()
    client, stats = chain_of(ScriptedClient(LLMRateLimitError("slow down")), sinks=[sink])
    with pytest.raises(LLMRateLimitError):
        await client.generate(HI)
    assert [(r.level, r.outcome, r.code) for r in sink.records] == [
        ("attempt", "failed", "RAT001"),
        ("call", "failed", "RAT001"),
    ]
    assert stats.counts("target:vendor/m").errors == {"RAT001": 1}


async def test_a_stream_is_answered_when_it_was_read_to_its_end() -> None:
    sink = RecordingSink()
    client, stats = chain_of(ScriptedClient("one two"), sinks=[sink])
    await read(client)
    assert [(r.level, r.outcome, r.streamed) for r in sink.records] == [
        ("attempt", "answered", True),
        ("call", "answered", True),
    ]
    assert stats.counts("client:planner").output_tokens == 2


async def test_a_stream_that_is_not_entered_leaves_no_record() -> None:
    sink = RecordingSink()
    client, _ = chain_of(ScriptedClient(), sinks=[sink])
    client.stream(HI)
    assert sink.records == ()


async def test_a_stream_that_fails_on_entering_counts_as_failed() -> None:
    sink = RecordingSink()
    client, stats = chain_of(ScriptedClient(LLMNetworkError("refused", reason="refused")), sinks=[sink])
    with pytest.raises(LLMNetworkError):
        await read(client)
    assert [r.outcome for r in sink.records] == ["failed", "failed"]
    assert stats.counts("client:planner").errors == {"NET002": 1}


async def test_a_stream_that_breaks_counts_as_failed_even_if_its_reader_swallows_the_error() -> None:
    sink = RecordingSink()
    client, stats = chain_of(BreakingClient(), sinks=[sink])
    async with client.stream(HI) as stream:
        with pytest.raises(StreamInterruptedError):
            _ = [event async for event in stream]
    assert [r.outcome for r in sink.records] == ["failed", "failed"]
    assert stats.counts("target:vendor/m").errors == {"STR001": 1}


async def test_a_stream_that_its_reader_leaves_is_abandoned_and_no_failure() -> None:
    sink = RecordingSink()
    leaf = ScriptedClient("one two three")
    client, stats = chain_of(leaf, sinks=[sink])
    async with client.stream(HI) as stream:
        async for _ in stream:
            break
    assert [r.outcome for r in sink.records] == ["abandoned", "abandoned"]
    assert stats.counts("client:planner").success_rate is None
    assert leaf.open_streams == 0


async def test_the_readers_own_llm_error_inside_a_stream_counts_for_nobody() -> None:
    sink = RecordingSink()
    client, stats = chain_of(ScriptedClient("one two three"), sinks=[sink])
    with pytest.raises(LLMTimeoutError) as caught:
        async with client.stream(HI):
            raise LLMTimeoutError("another client of the host", reason="attempt")
    assert [r.outcome for r in sink.records] == ["abandoned", "abandoned"]
    assert caught.value.steps == ()
    assert stats.counts("target:vendor/m").failed == 0


async def test_the_readers_own_error_after_the_last_event_leaves_an_answered_call() -> None:
    client, stats = chain_of(ScriptedClient("one"))

    async def reader() -> None:
        async with client.stream(HI) as stream:
            _ = [event async for event in stream]
            raise KeyError("the host's own bug")

    with pytest.raises(KeyError):
        await reader()
    assert stats.counts("client:planner").answered == 1


async def test_a_cancelled_call_is_recorded_as_cancelled() -> None:
    sink = RecordingSink()
    client, stats = chain_of(hanging(), sinks=[sink])
    call = asyncio.create_task(client.generate(HI))
    await turns()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert [r.outcome for r in sink.records] == ["cancelled", "cancelled"]
    assert stats.counts("client:planner").cancelled == 1


async def test_cancellation_while_a_stream_is_entered_is_recorded_as_cancelled() -> None:
    sink = RecordingSink()
    client, _ = chain_of(hanging(), sinks=[sink])
    call = asyncio.create_task(read(client))
    await turns()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert [r.outcome for r in sink.records] == ["cancelled", "cancelled"]


async def test_cancellation_inside_a_streams_block_is_recorded_as_cancelled() -> None:
    sink = RecordingSink()
    leaf = ScriptedClient("one two")
    client, _ = chain_of(leaf, sinks=[sink])

    async def reader() -> None:
        async with client.stream(HI):
            await asyncio.Event().wait()

    call = asyncio.create_task(reader())
    await turns()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert [r.outcome for r in sink.records] == ["cancelled", "cancelled"]
    assert leaf.open_streams == 0


async def test_a_sink_that_raises_harms_neither_the_call_nor_the_next_sink(caplog: pytest.LogCaptureFixture) -> None:
    sink = RecordingSink()
    client, _ = chain_of(ScriptedClient("Hello."), sinks=[BrokenSink(), sink])
    with caplog.at_level(logging.WARNING, "loomwire.observe"):
        assert (await client.generate(HI)).text == "Hello."
    assert len(sink.records) == 2
    assert caplog.text.count("event sink BrokenSink raised; its records are lost") == 2, "one per level"


async def test_a_sink_that_always_raises_is_logged_once_per_place(caplog: pytest.LogCaptureFixture) -> None:
    client, _ = chain_of(ScriptedClient("a", "b", "c"), sinks=[BrokenSink()])
    with caplog.at_level(logging.WARNING, "loomwire.observe"):
        for _ in range(3):
            await client.generate(HI)
    assert caplog.text.count("event sink BrokenSink raised") == 2


async def test_an_error_that_is_none_of_ours_counts_as_a_failure_and_goes_on_as_it_is() -> None:
    sink = RecordingSink()
    client, _ = chain_of(ScriptedClient(ZeroDivisionError()), sinks=[sink])
    with pytest.raises(ZeroDivisionError):
        await client.generate(HI)
    assert [(r.outcome, r.code) for r in sink.records] == [("failed", "INT003"), ("failed", "INT003")]


async def test_a_sink_that_raises_does_not_replace_the_calls_own_error() -> None:
    client, _ = chain_of(ScriptedClient(LLMRateLimitError("slow down")), sinks=[BrokenSink()])
    with pytest.raises(LLMRateLimitError):
        await client.generate(HI)


class Picky(ISelectiveSink):
    """Takes failures only, and says so."""

    def __init__(self) -> None:
        self.taken: list[CallRecord] = []

    @override
    def wants(self, outcome: CallOutcome) -> bool:
        return outcome == "failed"

    @override
    def emit(self, record: CallRecord) -> None:
        self.taken.append(record)


def test_no_record_is_made_that_nobody_would_look_at() -> None:
    picky = Picky()
    clock = FakeClock()

    def heard(*sinks: IEventSink) -> tuple[bool, bool]:
        observe = Observe("call", client="c", tally=CallStats().tally("c"), clock=clock, sinks=sinks)
        return observe.is_heard("answered"), observe.is_heard("failed")

    assert heard() == (False, False)
    assert heard(picky) == (False, True)
    assert heard(picky, RecordingSink()) == (True, True)
