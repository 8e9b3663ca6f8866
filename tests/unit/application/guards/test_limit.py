from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import replace

import pytest

from loomwire.application.clients.guarded import GuardedClient
from loomwire.application.guard import Operation
from loomwire.application.guards.limit import ANSWER_TOKENS, Limit
from loomwire.application.state.pacing.lane import Lane
from loomwire.application.state.pacing.measured import MeasuredOperation
from loomwire.application.state.pacing.statistics import LaneStatistics
from loomwire.domain.errors import (
    LLMError,
    LLMNetworkError,
    LLMRateLimitError,
    LLMTimeoutError,
    LoomError,
    StreamInterruptedError,
    llm_error,
)
from loomwire.domain.faults import FAULTS
from loomwire.domain.policies import RatePolicy
from loomwire.domain.pricing import FREE, NO_USAGE, Usage
from loomwire.domain.requests import Bound, LLMRequest, Parameters, Priority
from loomwire.domain.responses import RateLimits
from loomwire.testing import FakeClock, Reply, ScriptedClient
from support.chains import HI, hanging, turns
from support.falling import at, client_of, falling
from support.retrying import ended

# 40 bytes are 10 tokens of input, and the answer may have 90.
ASKED = LLMRequest(LLMRequest.of("a" * 40).messages, parameters=Parameters(max_tokens=90))
ROOMY = RatePolicy(rpm=1000, tpm=100_000, concurrency=5, burst_s=60)
INPUT, CHARGED = 10, 100


def asked(*, until: float | None = None, priority: Priority = "balanced", max_tokens: int | None = 90) -> Operation:
    """Return an operation with a bound, as the layers above make it."""
    bound = None if until is None else Bound(until)
    parameters = Parameters(max_tokens=max_tokens)
    request = LLMRequest(ASKED.messages, priority=priority, parameters=parameters, bound=bound)
    return MeasuredOperation(request, streamed=False)


async def after(error: LoomError, policy: RatePolicy = ROOMY) -> LaneStatistics:
    """Return what a lane holds after an operation failed."""
    lane = Lane(policy, FakeClock())
    async with Limit(lane).around(asked()) as outcome:
        outcome.failed(error)
    return lane.statistics()


async def test_a_call_is_charged_in_full_while_it_runs_and_with_what_it_used_afterwards() -> None:
    lane = Lane(ROOMY, FakeClock())
    async with Limit(lane, provider="vendor", model="m").around(asked()) as outcome:
        held = lane.statistics()
        assert (held.in_use, held.requests, held.tokens) == (1, 1, CHARGED)
        outcome.answered(Usage(input_tokens=12, output_tokens=30), FREE, "m")
        outcome.answered(Usage(input_tokens=12, output_tokens=30), FREE, "m")
    held = lane.statistics()
    assert (held.in_use, held.requests, held.tokens) == (0, 1, 42)
    assert outcome.step is None


async def test_an_answer_larger_than_thought_is_charged_too() -> None:
    lane = Lane(ROOMY, FakeClock())
    async with Limit(lane).around(asked()) as outcome:
        outcome.answered(Usage(input_tokens=200, output_tokens=90), FREE, "m")
    assert lane.statistics().tokens == 290


async def test_an_answer_of_unknown_size_stays_charged_in_full() -> None:
    lane = Lane(ROOMY, FakeClock())
    async with Limit(lane).around(asked()) as outcome:
        outcome.answered(NO_USAGE, FREE, "m")
    assert lane.statistics().tokens == CHARGED


@pytest.mark.parametrize(("answer_tokens", "charged"), [(None, INPUT + ANSWER_TOKENS), (500, INPUT + 500), (0, INPUT)])
async def test_without_max_tokens_the_targets_own_longest_answer_is_charged(
    answer_tokens: int | None, charged: int
) -> None:
    lane = Lane(ROOMY, FakeClock())
    async with Limit(lane, answer_tokens=answer_tokens).around(asked(max_tokens=None)):
        assert lane.statistics().tokens == charged


async def test_an_operation_without_a_size_counts_as_a_request() -> None:
    lane = Lane(ROOMY, FakeClock())
    plain = Operation(streamed=False, tenant=None, session=None, tags=frozenset())
    async with Limit(lane).around(plain):
        held = lane.statistics()
    assert (held.requests, held.tokens) == (1, 0)


async def test_an_operation_without_a_bound_waits_as_long_as_it_takes() -> None:
    clock = FakeClock()
    limit = Limit(Lane(RatePolicy(rpm=1), clock))
    plain = Operation(streamed=False, tenant=None, session=None, tags=frozenset())
    async with limit.around(plain):
        pass
    waiting = asyncio.create_task(limit.around(plain).__aenter__())
    await clock.advance(61)
    assert waiting.done()


async def test_a_cancelled_call_frees_its_slot_and_its_answer_but_counts_as_sent() -> None:
    lane = Lane(ROOMY, FakeClock())
    with suppress(asyncio.CancelledError):
        async with Limit(lane).around(asked()):
            raise asyncio.CancelledError
    held = lane.statistics()
    assert (held.in_use, held.requests, held.tokens) == (0, 1, INPUT)


@pytest.mark.parametrize("reason", ["dns", "refused", "connect", "circuit_open", "budget_exceeded", "queue"])
async def test_what_failed_before_anything_was_sent_is_refunded_whole(reason: str) -> None:
    held = await after(llm_error(reason, "it never left"))
    assert (held.in_use, held.requests, held.tokens) == (0, 0, 0)


async def test_what_failed_while_connecting_is_refunded_whatever_the_reason() -> None:
    held = await after(LLMNetworkError("the lease is over", phase="connect"))
    assert (held.requests, held.tokens) == (0, 0)


@pytest.mark.parametrize("reason", ["server", "eof", "attempt", "invalid_request", "protocol", "unknown"])
async def test_what_failed_after_sending_counts_with_its_input(reason: str) -> None:
    held = await after(llm_error(reason, "the server failed", phase="headers"))
    assert (held.in_use, held.requests, held.tokens) == (0, 1, INPUT)


@pytest.mark.parametrize(
    ("usage", "tokens"), [(None, INPUT), (NO_USAGE, INPUT), (Usage(input_tokens=11, output_tokens=7), 18)]
)
async def test_a_broken_stream_counts_with_what_it_is_known_to_have_used(usage: Usage | None, tokens: int) -> None:
    held = await after(StreamInterruptedError("it broke", usage_so_far=usage))
    assert (held.requests, held.tokens) == (1, tokens)


@pytest.mark.parametrize(
    ("retry_after", "paused_s"), [(None, 1.0), (7.5, 7.5), (0.0, 0.0), (-1.0, 1.0), (math.nan, 1.0), (1e308, 86_400)]
)
async def test_a_provider_that_throttles_pauses_everybody(retry_after: float | None, paused_s: float) -> None:
    held = await after(LLMRateLimitError("slow down", status=429, retry_after=retry_after))
    assert held.paused_s == paused_s


@pytest.mark.parametrize("reason", sorted(FAULTS.keys() - {"throttled"}))
async def test_no_other_failure_pauses_anybody(reason: str) -> None:
    assert (await after(llm_error(reason, "it failed", retry_after=30.0))).paused_s == 0


async def test_who_waited_says_so_in_its_steps_once_it_is_judged() -> None:
    clock = FakeClock()
    limit = Limit(Lane(RatePolicy(rpm=60), clock), provider="vendor", model="m")

    async def call(error: LoomError | None = None) -> object:
        async with limit.around(asked()) as outcome:
            assert outcome.step is None
            if error is None:
                outcome.answered(NO_USAGE, FREE, "m")
            else:
                outcome.failed(error)
        return outcome.step

    assert await call() is None
    calls = [asyncio.create_task(call()), asyncio.create_task(call(llm_error("server", "no")))]
    await clock.advance(2.5)
    steps = [str(task.result()) for task in calls]
    assert steps == ["limit vendor/m waited after 0.000 s"] * 2


async def test_a_call_that_cannot_go_before_its_bound_is_refused_at_once_with_a_step() -> None:
    clock = FakeClock()
    limit = Limit(Lane(RatePolicy(rpm=6), clock), provider="vendor", model="m")
    async with limit.around(asked()):
        pass
    with pytest.raises(LLMTimeoutError) as caught:
        async with limit.around(asked(until=9.0)):
            pytest.fail("it went")
    error = caught.value
    assert (error.code, error.provider, error.model) == ("TIM006", "vendor", "m")
    assert error.retry_after == pytest.approx(10)
    assert [(step.layer, step.target, step.outcome, step.reason) for step in error.steps] == [
        ("limit", "vendor/m", "refused", "queue")
    ]
    assert error.disposition.falls_back
    assert not error.disposition.trips_breaker


async def test_a_call_in_line_gives_up_at_its_bound() -> None:
    clock = FakeClock()
    limit = Limit(Lane(RatePolicy(concurrency=1), clock))
    async with limit.around(asked()):
        late = asyncio.create_task(limit.around(asked(until=3.0)).__aenter__())
        await clock.advance(3.0)
        with pytest.raises(LLMTimeoutError) as caught:
            await late
    assert caught.value.steps[0].latency_s == 0
    assert caught.value.steps[0].waited_s == 3


async def test_nobody_waits_for_a_turn_that_would_leave_no_time_for_an_answer() -> None:
    leaf = hanging()
    config = replace(at("a/x"), rate=RatePolicy(concurrency=1))
    made = falling(client_of(config), {"a/x": leaf})

    async def failure(deadline_s: float) -> LLMError:
        with pytest.raises(LLMTimeoutError) as caught:
            await made.client.generate(replace(HI, deadline_s=deadline_s))
        return caught.value

    first, second = await ended(made.clock, asyncio.gather(failure(0.9), failure(1.0)))
    assert (first.reason, second.reason) == ("deadline", "queue")
    assert [(step.layer, step.waited_s) for step in second.steps] == [("limit", 0.75)]
    assert len(leaf.requests) == 1


async def test_who_wants_speed_passes_who_does_not() -> None:
    lane = Lane(RatePolicy(concurrency=1), FakeClock())
    limit, order = Limit(lane), list[str]()

    async def call(priority: Priority) -> None:
        async with limit.around(asked(priority=priority)):
            order.append(priority)

    async with limit.around(asked()):
        calls = []
        priorities: tuple[Priority, ...] = ("cost", "balanced", "quality", "speed")
        for priority in priorities:
            calls.append(asyncio.create_task(call(priority)))
            await turns(2)
    await asyncio.gather(*calls)
    assert order == ["speed", "balanced", "quality", "cost"]


async def test_what_the_provider_says_is_left_reaches_the_lane() -> None:
    lane = Lane(ROOMY, FakeClock())
    async with Limit(lane).around(asked()) as outcome:
        outcome.heard(
            RateLimits(requests_limit=1000, requests_remaining=400, requests_reset_s=1.0, tokens_remaining=30_000)
        )
        held = lane.statistics()
    assert (held.requests, held.tokens) == (600, 70_000)


async def test_a_guard_that_never_let_anything_in_judges_nothing() -> None:
    lane = Lane(ROOMY, FakeClock())
    outcome = Limit(lane).around(asked())
    outcome.answered(NO_USAGE, FREE, "m")
    outcome.failed(LLMRateLimitError("slow down"))
    await outcome.__aexit__(None, None, None)
    assert lane.statistics().paused_s == 0


async def test_a_guarded_client_holds_its_slot_until_the_stream_is_left_however_that_ends() -> None:
    lane = Lane(RatePolicy(rpm=100, concurrency=1, burst_s=60), FakeClock())
    broken = Reply("one two three", cut_after=4)
    client = GuardedClient(
        ScriptedClient("one", "one two three", "one two three", broken, llm_error("dns", "no")), Limit(lane)
    )
    await client.generate(ASKED)
    async with client.stream(ASKED) as stream:
        assert lane.statistics().in_use == 1
        _ = [event async for event in stream]
    assert stream.response.text == "one two three"
    async with client.stream(ASKED) as stream:
        pass
    with pytest.raises(StreamInterruptedError):
        async with client.stream(ASKED) as stream:
            _ = [event async for event in stream]
    with pytest.raises(LLMNetworkError):
        await client.stream(ASKED).__aenter__()
    held = lane.statistics()
    assert (held.in_use, held.requests, held.granted) == (0, 4, 5)


def test_its_name_stands_in_the_chain() -> None:
    assert repr(Limit(Lane(ROOMY, FakeClock()))) == "Limit"
