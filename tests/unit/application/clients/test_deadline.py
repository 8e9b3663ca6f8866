from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from loomwire.application.clients.deadline import DeadlineClient
from loomwire.application.scopes import GRACE_S
from loomwire.domain.errors import LLMTimeoutError, StreamInterruptedError
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.testing import FakeClock, ScriptedClient
from support.chains import HI, hanging
from support.falling import at, client_of, falling, told
from support.retrying import ended


async def entered(client: ILLMClient, request: LLMRequest = HI) -> None:
    """Enter a stream and leave it."""
    async with client.stream(request):
        pass


async def test_a_call_that_does_not_end_at_the_configured_total_is_cut_off_a_moment_later() -> None:
    clock = FakeClock(100.0)
    call = asyncio.create_task(DeadlineClient(hanging(), total_s=9.0, clock=clock).generate(HI))
    await clock.advance(9.0 + GRACE_S - 0.001)
    assert not call.done()
    await clock.advance(0.001)
    with pytest.raises(LLMTimeoutError) as caught:
        await call
    assert caught.value.reason == "deadline"
    assert not caught.value.disposition.retry_same
    assert clock.waiting == 0


async def test_entering_a_stream_ends_at_the_deadline_too() -> None:
    clock = FakeClock()
    entering = asyncio.create_task(entered(DeadlineClient(hanging(), total_s=9.0, clock=clock)))
    await clock.advance(9.0 + GRACE_S)
    with pytest.raises(LLMTimeoutError) as caught:
        await entering
    assert caught.value.reason == "deadline"
    assert clock.waiting == 0


@pytest.mark.parametrize("deadline_s", [2.0, 50.0])
async def test_the_requests_deadline_counts_instead_of_the_configured_total(deadline_s: float) -> None:
    clock = FakeClock(100.0)
    leaf = ScriptedClient("a", "b", clock=clock)
    client = DeadlineClient(leaf, total_s=9.0, clock=clock)
    request = LLMRequest.of("Hi", deadline_s=deadline_s)
    await client.generate(request)
    await entered(client, request)
    assert [asked.bound for asked in leaf.requests] == [Bound(100.0 + deadline_s)] * 2


async def test_a_bound_that_is_there_already_is_kept() -> None:
    clock = FakeClock(100.0)
    leaf = ScriptedClient("a", "b", clock=clock)
    client = DeadlineClient(leaf, total_s=9.0, clock=clock)
    bounded = HI.with_bound(Bound(101.5))
    await client.generate(bounded)
    await entered(client, bounded)
    assert leaf.requests[0] is bounded
    assert leaf.requests[1].bound is bounded.bound


async def test_a_call_whose_bound_has_passed_is_not_sent() -> None:
    leaf = ScriptedClient()
    with pytest.raises(LLMTimeoutError):
        await DeadlineClient(leaf, total_s=9.0, clock=FakeClock(100.0)).generate(HI.with_bound(Bound(99.0)))
    assert leaf.requests == ()


async def test_reading_holds_no_timer_because_the_leaf_keeps_the_bound() -> None:
    clock = FakeClock()
    leaf = ScriptedClient("one two", clock=clock)
    async with DeadlineClient(leaf, total_s=9.0, clock=clock).stream(HI) as stream:
        assert clock.waiting == 0
        _ = [event async for event in stream]
        assert stream.response.text == "one two"


async def test_reading_on_after_the_deadline_fails_with_what_came_so_far() -> None:
    clock = FakeClock()
    leaf = ScriptedClient("one two three", clock=clock)
    async with DeadlineClient(leaf, total_s=9.0, clock=clock).stream(HI) as stream:
        events = aiter(stream)
        await anext(events)
        clock.move(9.0)
        with pytest.raises(StreamInterruptedError, match="too long") as caught:
            await anext(events)
    assert caught.value.reason == "deadline"
    assert caught.value.partial_text == "one "
    assert leaf.open_streams == 0


@pytest.mark.parametrize("asked", ["plain", "stream"])
async def test_a_call_that_ends_at_its_deadline_tells_whom_it_asked(asked: str) -> None:
    made = falling(client_of(at("a/x"), at("b/y")), {"a/x": hanging(), "b/y": hanging()})
    request = replace(HI, deadline_s=4.0)
    call = made.client.generate(request) if asked == "plain" else entered(made.client, request)
    with pytest.raises(LLMTimeoutError) as caught:
        await ended(made.clock, call)
    assert caught.value.reason == "deadline"
    assert told(caught.value) == (
        "attempt a/x failed attempt",
        "retry a/x attempts_used attempt",
        "fallback a/x failed attempt",
        "attempt b/y failed deadline",
    )
    assert sum(step.latency_s for step in caught.value.steps) == 4.0
    # The caller's wish says nothing about the target.
    assert [made.states.circuit(target).is_closed for target in made.config.targets] == [True, True]
