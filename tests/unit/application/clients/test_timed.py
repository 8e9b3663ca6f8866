from __future__ import annotations

import asyncio

import pytest

from loomwire.application.clients.timed import TimedClient
from loomwire.domain.errors import LLMTimeoutError
from loomwire.domain.policies import TimeoutPolicy
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.testing import FakeClock, ScriptedClient
from support.chains import HI, hanging

LIMITS = TimeoutPolicy(attempt_s=5.0, ttft_s=2.0)


async def entered(client: ILLMClient, request: LLMRequest = HI) -> None:
    """Enter a stream and leave it."""
    async with client.stream(request):
        pass


async def test_an_attempt_ends_after_its_limit() -> None:
    clock = FakeClock(10.0)
    attempt = asyncio.create_task(TimedClient(hanging(), timeouts=LIMITS, clock=clock).generate(HI))
    await clock.advance(5.0)
    with pytest.raises(LLMTimeoutError) as caught:
        await attempt
    assert caught.value.reason == "attempt"
    assert caught.value.disposition.retry_same


async def test_a_stream_without_a_first_event_ends_with_reason_ttft() -> None:
    clock = FakeClock(10.0)
    entering = asyncio.create_task(entered(TimedClient(hanging(), timeouts=LIMITS, clock=clock)))
    await clock.advance(2.0)
    with pytest.raises(LLMTimeoutError) as caught:
        await entering
    assert caught.value.reason == "ttft"


async def test_an_attempt_limit_below_the_first_token_limit_ends_the_stream_as_an_attempt() -> None:
    clock = FakeClock()
    limits = TimeoutPolicy(attempt_s=1.0, ttft_s=2.0)
    entering = asyncio.create_task(entered(TimedClient(hanging(), timeouts=limits, clock=clock)))
    await clock.advance(1.0)
    with pytest.raises(LLMTimeoutError) as caught:
        await entering
    assert caught.value.reason == "attempt"


async def test_the_leaf_gets_the_attempts_end_as_its_bound() -> None:
    clock = FakeClock(10.0)
    leaf = ScriptedClient("a", "b", clock=clock)
    client = TimedClient(leaf, timeouts=LIMITS, clock=clock)
    await client.generate(HI.with_bound(Bound(99.0)))
    await entered(client, HI.with_bound(Bound(99.0)))
    assert [asked.bound for asked in leaf.requests] == [Bound(15.0, "attempt")] * 2


async def test_a_call_that_ends_sooner_keeps_its_own_bound_and_reason() -> None:
    clock = FakeClock(10.0)
    leaf = ScriptedClient("a", "b", clock=clock)
    client = TimedClient(leaf, timeouts=LIMITS, clock=clock)
    soon = HI.with_bound(Bound(11.0))
    await client.generate(soon)
    await entered(client, soon)
    assert leaf.requests[0] is soon
    assert leaf.requests[1].bound == Bound(11.0, "deadline")


async def test_a_deadline_before_the_first_token_limit_is_the_reason_of_the_stream() -> None:
    clock = FakeClock(10.0)
    client = TimedClient(hanging(), timeouts=LIMITS, clock=clock)
    entering = asyncio.create_task(entered(client, HI.with_bound(Bound(11.0))))
    await clock.advance(1.0)
    with pytest.raises(LLMTimeoutError) as caught:
        await entering
    assert caught.value.reason == "deadline"


@pytest.mark.parametrize(("at", "enter_by", "passed"), [(100.0, 11.0, 1.0), (12.0, 11.0, 1.0), (100.0, 50.0, 5.0)])
async def test_an_attempt_ends_earlier_where_another_target_waits_for_its_turn(
    at: float, enter_by: float, passed: float
) -> None:
    clock = FakeClock(10.0)
    request = HI.with_bound(Bound(at, enter_by=enter_by))
    attempt = asyncio.create_task(TimedClient(hanging(), timeouts=LIMITS, clock=clock).generate(request))
    await clock.advance(passed - 0.01)
    assert not attempt.done()
    await clock.advance(0.01)
    with pytest.raises(LLMTimeoutError) as caught:
        await attempt
    assert caught.value.reason == "attempt"


async def test_a_stream_has_to_begin_earlier_where_another_target_waits_and_may_then_go_on() -> None:
    clock = FakeClock(10.0)
    request = HI.with_bound(Bound(100.0, enter_by=11.0))
    entering = asyncio.create_task(entered(TimedClient(hanging(), timeouts=LIMITS, clock=clock), request))
    await clock.advance(1.0)
    with pytest.raises(LLMTimeoutError) as caught:
        await entering
    assert caught.value.reason == "attempt"
    leaf = ScriptedClient("Hello.", clock=clock)
    await entered(TimedClient(leaf, timeouts=LIMITS, clock=clock), HI.with_bound(Bound(13.0, enter_by=12.0)))
    assert leaf.requests[0].bound == Bound(13.0, enter_by=12.0)


@pytest.mark.parametrize("how", ["plain", "stream"])
@pytest.mark.parametrize(
    ("given", "trips"),
    [
        (Bound(99.0, enter_by=14.0, share_s=4.0), True),
        (Bound(99.0, enter_by=12.0, share_s=4.0), True),
        (Bound(99.0, enter_by=11.9, share_s=4.0), False),
        # Ended by the attempt's own limit, however long the share is.
        (Bound(99.0, enter_by=60.0, share_s=900.0), True),
        (Bound(99.0), True),
    ],
    ids=["whole share", "half of it", "less", "own limit", "no share"],
)
async def test_a_target_that_got_hardly_any_of_its_share_has_not_failed(given: Bound, how: str, *, trips: bool) -> None:
    clock = FakeClock(10.0)
    client = TimedClient(hanging(), timeouts=TimeoutPolicy(attempt_s=5.0), clock=clock)
    asked = HI.with_bound(given)
    attempt = asyncio.ensure_future(client.generate(asked) if how == "plain" else entered(client, asked))
    await clock.advance(5.0)
    with pytest.raises(LLMTimeoutError) as caught:
        await attempt
    assert (caught.value.reason, caught.value.disposition.trips_breaker) == ("attempt", trips)
    assert caught.value.disposition.falls_back


async def test_a_first_token_that_comes_too_late_is_the_targets_failure_whatever_its_share_is() -> None:
    clock = FakeClock(10.0)
    client = TimedClient(hanging(), timeouts=LIMITS, clock=clock)
    entering = asyncio.create_task(entered(client, HI.with_bound(Bound(99.0, enter_by=12.5, share_s=50.0))))
    await clock.advance(2.0)
    with pytest.raises(LLMTimeoutError) as caught:
        await entering
    assert (caught.value.reason, caught.value.disposition.trips_breaker) == ("ttft", True)
