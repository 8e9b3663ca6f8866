"""RetryingClient: which failures are sent again, when, how often, and what the answer or the error tells of it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from typing_extensions import override

from loomwire.application.clients.deadline import DeadlineClient
from loomwire.application.clients.retrying import RetryingClient
from loomwire.application.resilience.course import Retries
from loomwire.application.resilience.delays import sends_of
from loomwire.application.state.retry_tokens import RetryTokens
from loomwire.domain.errors import (
    CircuitOpenError,
    LLMError,
    LLMNetworkError,
    LLMProtocolError,
    LLMRateLimitError,
    LLMTemporaryError,
    LLMTimeoutError,
    LLMValidationError,
    StreamInterruptedError,
    llm_error,
)
from loomwire.domain.faults import FAULTS
from loomwire.domain.policies import RetryBudgetPolicy, RetryPolicy
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.testing import FakeClock, Reply, ScriptedClient
from support.chains import HI, BreakingStream, hanging, never, turns
from support.retrying import PLENTY, TARGET, ended, observed, retrying, streamed, terms

DOWN = LLMTemporaryError("down")
ENTERINGS = ["generate", "stream"]


async def asked(client: ILLMClient, how: str, request: LLMRequest = HI) -> None:
    """Ask whole or streamed."""
    if how == "generate":
        await client.generate(request)
    else:
        await streamed(client, request)


async def failure(clock: FakeClock, client: ILLMClient, request: LLMRequest = HI, how: str = "generate") -> LLMError:
    """Return the error that a call ends in."""
    with pytest.raises(LLMError) as caught:
        await ended(clock, asked(client, how, request))
    return caught.value


def told(error: LLMError) -> list[str]:
    """Return the error's steps as words."""
    return [f"{step.layer} {step.outcome} {step.reason}" for step in error.steps]


def unobserved(leaf: ILLMClient, clock: FakeClock, attempts: int = 3) -> RetryingClient:
    """Return a retrying client over a leaf that notes no steps."""
    return RetryingClient(leaf, terms(clock, RetryPolicy(attempts=attempts)))


async def test_an_answer_at_once_passes_through_untouched_and_without_a_wait() -> None:
    clock = FakeClock()
    answer = await ScriptedClient("hello", clock=clock).generate(HI)
    leaf = ScriptedClient(answer, clock=clock)
    assert await unobserved(leaf, clock).generate(HI) is answer
    assert leaf.requests[0] is HI
    assert clock.waiting == 0


async def test_a_stream_at_once_has_no_wrapper_around_it() -> None:
    clock = FakeClock()
    assert await streamed(retrying(ScriptedClient("hello", clock=clock), clock), HI) == ("attempt answered",)


@pytest.mark.parametrize("how", ENTERINGS)
async def test_a_failure_that_may_pass_is_sent_again_after_the_delay(how: str) -> None:
    clock = FakeClock()
    leaf = ScriptedClient(DOWN, DOWN, "hello", clock=clock)
    call = asyncio.create_task(asked(retrying(leaf, clock), how))
    sends = []
    for seconds in (0.49, 0.02, 0.98, 0.02):
        await clock.advance(seconds)
        sends.append(len(leaf.requests))
    await call
    assert sends == [1, 2, 2, 3]


async def test_the_answer_tells_of_every_attempt_and_wait() -> None:
    clock = FakeClock()
    leaf = ScriptedClient(DOWN, LLMRateLimitError("slow down", retry_after=20.0), "hello", clock=clock)
    response = await ended(clock, retrying(leaf, clock).generate(HI))
    assert response.steps == (
        Step("attempt", TARGET, "failed", "server"),
        Step("retry", TARGET, "retried", "server", waited_s=0.5),
        Step("attempt", TARGET, "failed", "throttled"),
        Step("retry", TARGET, "retried", "throttled", waited_s=22.0),
        Step("attempt", TARGET, "answered"),
    )
    assert sends_of(response.steps) == 3


async def test_a_streamed_answer_tells_the_same() -> None:
    clock = FakeClock()
    leaf = ScriptedClient(DOWN, "hello", clock=clock)
    steps = await ended(clock, streamed(retrying(leaf, clock), HI))
    assert steps == ("attempt failed", "retry retried", "attempt answered")
    assert leaf.open_streams == 0


async def test_the_last_error_is_raised_with_the_steps_of_all_attempts() -> None:
    clock = FakeClock()
    last = LLMNetworkError("reset")
    error = await failure(clock, retrying(ScriptedClient(DOWN, DOWN, last, clock=clock), clock))
    assert error.message == "reset"
    assert error.attempt == 3
    assert error.__context__ is None
    assert told(error) == [
        "attempt failed server",
        "retry retried server",
        "attempt failed server",
        "retry retried server",
        "attempt failed reset",
        "retry attempts_used reset",
    ]


@pytest.mark.parametrize("how", ENTERINGS)
@pytest.mark.parametrize("attempts", range(1, 6))
async def test_a_target_that_stays_down_gets_exactly_the_configured_number_of_sends(attempts: int, how: str) -> None:
    clock = FakeClock()
    leaf = ScriptedClient(then=DOWN, clock=clock)
    error = await failure(clock, retrying(leaf, clock, RetryPolicy(attempts=attempts)), how=how)
    assert len(leaf.requests) == sends_of(error.steps) == attempts


@pytest.mark.parametrize("reason", sorted(FAULTS))
async def test_every_fault_is_sent_as_often_as_its_row_allows(reason: str) -> None:
    clock = FakeClock()
    may = FAULTS[reason].disposition
    leaf = ScriptedClient(then=llm_error(reason, "failed"), clock=clock)
    error = await failure(clock, retrying(leaf, clock))
    expected = 1 if not may.retry_same else 3 if may.retry_limit is None else 1 + may.retry_limit
    assert len(leaf.requests) == sends_of(error.steps) == expected
    assert error.reason == reason


async def test_a_failure_that_will_not_pass_is_raised_at_once_with_nothing_to_tell() -> None:
    clock = FakeClock()
    leaf = ScriptedClient(DOWN, LLMValidationError("wrong"), clock=clock)
    error = await failure(clock, retrying(leaf, clock))
    assert told(error) == ["attempt failed server", "retry retried server", "attempt failed invalid_request"]


async def test_a_limit_of_its_own_counts_the_failures_of_that_reason_only() -> None:
    clock = FakeClock()
    broken = LLMProtocolError("no JSON")
    leaf = ScriptedClient(DOWN, broken, broken, "never", clock=clock)
    error = await failure(clock, retrying(leaf, clock, RetryPolicy(attempts=5)))
    assert told(error)[-1] == "retry limit_used protocol"
    assert len(leaf.requests) == 3


async def test_the_sends_of_earlier_targets_count_against_the_total() -> None:
    clock = FakeClock()
    leaf = ScriptedClient(then=DOWN, clock=clock)
    client = retrying(leaf, clock, RetryPolicy(attempts=5, total_attempts=6))
    error = await failure(clock, client, HI.with_bound(Bound(900.0, sent=4)))
    assert len(leaf.requests) == 2
    assert error.attempt == 6
    assert told(error)[-1] == "retry total_attempts_used server"


async def test_layers_below_are_told_how_often_the_call_was_sent() -> None:
    clock = FakeClock()
    leaf = ScriptedClient(then=DOWN, clock=clock)
    request = HI.with_bound(Bound(900.0, sent=2, further=True))
    await failure(clock, retrying(leaf, clock), request)
    assert [asked_.bound for asked_ in leaf.requests] == [
        Bound(900.0, sent=2, further=True),
        Bound(900.0, sent=3, further=True),
        Bound(900.0, sent=4, further=True),
    ]
    assert leaf.requests[0] is request


async def test_two_targets_share_one_total_when_the_layer_above_hands_the_count_on() -> None:
    clock = FakeClock()
    leaf = ScriptedClient(then=DOWN, clock=clock)
    client = retrying(leaf, clock, RetryPolicy(attempts=5, total_attempts=8))
    first = await failure(clock, client, HI.with_bound(Bound(1e6, further=True)))
    last = await failure(clock, client, HI.with_bound(Bound(1e6, sent=sends_of(first.steps))))
    assert [first.attempt, last.attempt] == [5, 8]
    assert len(leaf.requests) == 8


@pytest.mark.parametrize("how", ENTERINGS)
async def test_no_wait_goes_past_the_deadline_and_the_error_comes_at_once(how: str) -> None:
    clock = FakeClock()
    leaf = ScriptedClient(LLMRateLimitError("slow down", retry_after=5.0), "never", clock=clock)
    with pytest.raises(LLMRateLimitError) as caught:
        await asked(retrying(leaf, clock), how, HI.with_bound(Bound(5.2)))
    assert clock.now() == 0.0
    assert told(caught.value) == ["attempt failed throttled", "retry no_time throttled"]


async def test_a_wait_longer_than_the_cap_is_left_to_the_next_target() -> None:
    clock = FakeClock()
    leaf = ScriptedClient(LLMRateLimitError("slow down", retry_after=61.0), clock=clock)
    with pytest.raises(LLMRateLimitError) as caught:
        await retrying(leaf, clock).generate(HI)
    assert told(caught.value)[-1] == "retry wait_too_long throttled"


async def test_what_the_deadline_leaves_is_used_when_the_wait_is_our_own() -> None:
    clock = FakeClock()
    leaf = ScriptedClient(then=DOWN, clock=clock)
    error = await failure(clock, retrying(leaf, clock), HI.with_bound(Bound(1.0)))
    assert [step.waited_s for step in error.steps if step.outcome == "retried"] == [0.5, 0.25]
    assert len(leaf.requests) == 3


@pytest.mark.parametrize("how", ENTERINGS)
async def test_no_attempt_starts_with_too_little_time_not_even_the_first(how: str) -> None:
    clock = FakeClock(10.0)
    leaf = ScriptedClient("never", clock=clock)
    for bound, reason in (
        (Bound(10.2), "deadline"),
        (Bound(10.2, "attempt"), "attempt"),
        (Bound(100.0, enter_by=10.2), "attempt"),
        (Bound(10.2, enter_by=100.0), "deadline"),
    ):
        with pytest.raises(LLMTimeoutError, match=r"less than 0.25 s were left") as caught:
            await asked(retrying(leaf, clock), how, HI.with_bound(bound))
        assert caught.value.reason == reason
    assert leaf.requests == ()


async def test_a_loop_that_wakes_too_late_raises_what_it_waited_with_and_gets_its_token_back() -> None:
    clock = FakeClock()
    tokens = RetryTokens()
    budget = RetryBudgetPolicy(ratio=1.0, floor_per_s=0.0, last_resort_ratio=0.0)
    leaf = ScriptedClient(DOWN, "never", clock=clock)
    client = retrying(leaf, clock, budget=budget, tokens=tokens)
    call = asyncio.create_task(client.generate(HI.with_bound(Bound(2.0))))
    await turns()
    clock.move(1.9)
    with pytest.raises(LLMTemporaryError) as caught:
        await call
    assert told(caught.value) == ["attempt failed server", "retry no_time server"]
    assert caught.value.steps[-1].waited_s == 1.9
    counts = tokens.allowance("http://vendor", budget).counts(1.9)
    assert (counts.available, counts.taken) == (1.0, 0.0)


@pytest.mark.parametrize("how", ENTERINGS)
async def test_cancelling_ends_a_wait_at_once_and_gives_the_token_back(how: str) -> None:
    clock = FakeClock()
    tokens = RetryTokens()
    budget = RetryBudgetPolicy(ratio=1.0, floor_per_s=0.0, last_resort_ratio=0.0)
    leaf = ScriptedClient(DOWN, "never", clock=clock)
    call = asyncio.create_task(asked(retrying(leaf, clock, budget=budget, tokens=tokens), how))
    await turns()
    assert clock.waiting == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (clock.now(), clock.waiting, len(leaf.requests)) == (0.0, 0, 1)
    counts = tokens.allowance("http://vendor", budget).counts(0.0)
    assert (counts.available, counts.taken) == (1.0, 0.0)


async def test_cancelling_an_attempt_is_no_failure() -> None:
    clock = FakeClock()
    call = asyncio.create_task(retrying(hanging(), clock).generate(HI))
    await turns()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert clock.waiting == 0


class Raising(ILLMClient):
    """Raises one and the same object, whole and on entering a stream."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.asked = 0

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        self.asked += 1
        raise self.error

    @override
    @asynccontextmanager
    async def stream(self, request: LLMRequest) -> AsyncIterator[LLMStream]:
        await self.generate(request)
        yield BreakingStream()


@pytest.mark.parametrize("how", ENTERINGS)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), ZeroDivisionError("theirs")])
async def test_what_is_no_error_of_ours_passes_through_untouched(error: BaseException, how: str) -> None:
    clock = FakeClock()
    leaf = Raising(error)
    coroutine = asked(retrying(leaf, clock), how)
    # By hand, because a task would hand KeyboardInterrupt to the loop.
    with pytest.raises(type(error)) as caught:
        coroutine.send(None)
    assert caught.value is error
    assert leaf.asked == 1


async def test_a_client_that_raises_one_object_again_and_again_is_still_told_apart() -> None:
    clock = FakeClock()
    leaf = Raising(LLMTemporaryError("down"))
    error = await failure(clock, retrying(leaf, clock))
    assert sends_of(error.steps) == leaf.asked == 3
    assert len(error.steps) == 6


async def test_a_client_that_notes_nothing_is_counted_by_its_calls() -> None:
    clock = FakeClock()
    leaf = ScriptedClient(then=DOWN, clock=clock)
    error = await failure(clock, unobserved(leaf, clock, attempts=2))
    assert len(leaf.requests) == 2
    assert told(error) == ["retry retried server", "retry attempts_used server"]


async def test_a_stream_that_breaks_after_a_token_is_never_sent_again_and_tells_of_the_attempts_before() -> None:
    clock = FakeClock()
    leaf = ScriptedClient(DOWN, Reply("one two three", cut_after=4), "never", clock=clock)
    with pytest.raises(StreamInterruptedError) as caught:
        await ended(clock, streamed(retrying(leaf, clock), HI))
    assert caught.value.partial_text == "one "
    assert told(caught.value) == [
        "attempt failed server",
        "retry retried server",
        "attempt failed stream_interrupted",
    ]
    assert len(leaf.requests) == 2
    assert leaf.open_streams == 0


async def test_a_broken_stream_that_is_left_twice_tells_its_story_once() -> None:
    clock = FakeClock()
    leaf = ScriptedClient(DOWN, Reply("one two three", cut_after=4), clock=clock)
    context = retrying(leaf, clock).stream(HI)
    stream = await ended(clock, context.__aenter__())
    with pytest.raises(StreamInterruptedError) as caught:
        async for _ in stream:
            pass
    for _ in range(2):
        await context.__aexit__(None, None, None)
    assert len(caught.value.steps) == 3


async def test_a_stream_that_was_sent_again_answers_like_any_other() -> None:
    clock = FakeClock()
    client = retrying(ScriptedClient(DOWN, "one two", clock=clock), clock)

    async def read() -> None:
        async with client.stream(HI) as stream:
            assert (stream.finished, stream.error) == (False, None)
            with pytest.raises(StreamInterruptedError):
                _ = stream.response
            async for _ in stream:
                pass
            assert stream.finished
            assert stream.response.text == "one two"
            assert stream.response == stream.response

    await ended(clock, read())


async def test_a_stream_left_early_after_a_retry_is_left_below() -> None:
    clock = FakeClock()
    leaf = ScriptedClient(DOWN, "one two", clock=clock)
    client = retrying(leaf, clock)

    async def leave() -> None:
        async with client.stream(HI):
            assert leaf.open_streams == 1

    await ended(clock, leave())
    assert leaf.open_streams == 0


async def test_a_retry_that_the_endpoint_cannot_afford_is_left_to_the_next_target() -> None:
    clock = FakeClock()
    leaf = ScriptedClient(then=DOWN, clock=clock)
    budget = RetryBudgetPolicy(ratio=1.0, floor_per_s=0.0, last_resort_ratio=0.0)
    error = await failure(clock, retrying(leaf, clock, budget=budget))
    assert told(error)[-1] == "retry no_retry_budget server"
    assert len(leaf.requests) == 2


async def test_a_timeout_costs_the_budget_two() -> None:
    clock = FakeClock()
    slow = LLMTimeoutError("slow")
    budget = RetryBudgetPolicy(ratio=1.0, floor_per_s=0.0, last_resort_ratio=0.0)
    tokens = RetryTokens()
    client = retrying(ScriptedClient(slow, slow, "hello", clock=clock), clock, budget=budget, tokens=tokens)
    with pytest.raises(LLMTimeoutError):
        await client.generate(HI)
    response = await ended(clock, client.generate(HI), 1.0)
    assert response.text == "hello"
    assert tokens.allowance("http://vendor", budget).counts(0.0).taken == 2.0


async def test_the_last_target_may_draw_on_the_last_resort_and_the_others_may_not() -> None:
    clock = FakeClock()
    budget = RetryBudgetPolicy(ratio=0.0, floor_per_s=0.0, last_resort_ratio=1.0)
    leaf = ScriptedClient(DOWN, DOWN, "hello", clock=clock)
    client = retrying(leaf, clock, budget=budget)
    error = await failure(clock, client, HI.with_bound(Bound(900.0, further=True)))
    assert told(error) == ["attempt failed server", "retry no_retry_budget server"]
    response = await ended(clock, client.generate(HI.with_bound(Bound(1900.0))))
    assert response.text == "hello"


async def test_the_deadline_above_ends_a_wait_with_its_own_error() -> None:
    clock = FakeClock()
    leaf = ScriptedClient(DOWN, then=lambda _: never(), clock=clock)
    client = DeadlineClient(retrying(leaf, clock), total_s=3.0, clock=clock)
    error = await failure(clock, client)
    assert error.reason == "deadline"
    assert len(leaf.requests) == 2


async def test_a_total_outage_is_not_answered_by_a_storm() -> None:
    clock = FakeClock()
    leaf = ScriptedClient(then=DOWN, clock=clock)
    client = retrying(leaf, clock, budget=RetryBudgetPolicy())
    calls = [asyncio.create_task(client.generate(HI)) for _ in range(300)]
    await clock.advance(60.0)
    assert all(isinstance(call.exception(), LLMTemporaryError) for call in calls)
    # 0.4 for each first attempt, the floor's 20 and 2 a second for the two seconds it took, and the last resort's 15.
    assert 300 + 120 + 20 <= len(leaf.requests) <= 300 + 120 + 20 + 4 + 15


async def test_a_failed_attempt_that_was_sent_again_is_not_kept_alive() -> None:
    clock = FakeClock()
    seen: list[weakref.ref[LLMError]] = []

    class Failing(ILLMClient):
        @override
        async def generate(self, request: LLMRequest) -> LLMResponse[str]:
            error = LLMTemporaryError("down")
            seen.append(weakref.ref(error))
            try:
                raise error
            finally:
                del error

        @override
        def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
            raise NotImplementedError

    gc.disable()
    try:
        call = asyncio.create_task(unobserved(Failing(), clock).generate(HI))
        await clock.advance(0.6)
        assert [ref() is None for ref in seen] == [True, False]
        call.cancel()
        await asyncio.wait((call,))
        del call
        await turns()
        assert [ref() is None for ref in seen] == [True, True]
    finally:
        gc.enable()


async def test_chance_decides_the_wait_unless_told_otherwise() -> None:
    clock = FakeClock()
    waits = set()
    for _ in range(5):
        allowance = RetryTokens().allowance("e", PLENTY)
        chancy = Retries(policy=RetryPolicy(), allowance=allowance, clock=clock, target=TARGET)
        client = RetryingClient(observed(ScriptedClient(DOWN, "hello", clock=clock), clock), chancy)
        response = await ended(clock, client.generate(HI), 1.0)
        waits.add(response.steps[1].waited_s)
    assert len(waits) == 5
    assert all(0.0 <= wait <= 0.5 for wait in waits)


@pytest.mark.parametrize("how", ENTERINGS)
async def test_only_what_was_sent_earns_retries(how: str) -> None:
    clock = FakeClock()
    tokens = RetryTokens()
    budget = RetryBudgetPolicy(ratio=0.5, floor_per_s=0.0)
    leaf = ScriptedClient("hello", LLMValidationError("wrong"), clock=clock)
    sending = retrying(leaf, clock, budget=budget, tokens=tokens)
    refusing = RetryingClient(ScriptedClient(then=CircuitOpenError("open")), terms(clock, budget=budget, tokens=tokens))
    await asked(sending, how)
    with pytest.raises(LLMValidationError):
        await asked(sending, how)
    with pytest.raises(CircuitOpenError):
        await asked(refusing, how)
    assert tokens.allowance("http://vendor", budget).counts(0.0).available == 1.0


def test_its_place_in_the_chain_can_be_read() -> None:
    clock = FakeClock()
    assert repr(retrying(ScriptedClient(clock=clock), clock)).startswith("Retrying(3) > Observe(attempt) > Scripted")
