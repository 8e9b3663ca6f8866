"""HedgedClient: when a second send is made, who wins, and that nothing is left of the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from loomwire.application.clients.guarded import GuardedClient
from loomwire.application.clients.hedged import HedgedClient
from loomwire.application.clients.retrying import RetryingClient
from loomwire.application.guards.observe import Observe
from loomwire.application.resilience.course import Retries
from loomwire.application.resilience.delays import sends_of
from loomwire.application.state.latencies import LatencyWindow
from loomwire.application.state.retry_tokens import RetryAllowance, RetryTokens
from loomwire.application.state.stats import Tally
from loomwire.domain.errors import LLMError, LLMTemporaryError, LLMValidationError
from loomwire.domain.policies import RetryBudgetPolicy, RetryPolicy
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.testing import FakeClock, ScriptedClient
from loomwire.testing.scripted import Said
from support.chains import HI, never, turns
from support.retrying import PLENTY, TARGET, ended, longest, streamed

DOWN = LLMTemporaryError("down")


class Hedge:
    """A hedged client over a scripted leaf whose target takes 1 s at the slowest."""

    def __init__(self, policy: RetryBudgetPolicy = PLENTY) -> None:
        self.clock = FakeClock()
        self.leaf = ScriptedClient(clock=self.clock)
        self.tally = Tally()
        self.latencies = LatencyWindow()
        for _ in range(20):
            self.latencies.note(1.0)
        self.allowance: RetryAllowance = RetryTokens().allowance("http://vendor", policy)
        self.client = self.over(self.observed())

    def observed(self) -> ILLMClient:
        """Return the leaf as the chain has it."""
        guard = Observe("attempt", client="c", tally=self.tally, clock=self.clock, provider="vendor", model="m")
        return GuardedClient(self.leaf, guard)

    def over(self, inner: ILLMClient, total_attempts: int = 8) -> HedgedClient:
        """Return the hedge over a client."""
        return HedgedClient(inner, self.terms(RetryPolicy(total_attempts=total_attempts)), self.latencies)

    def terms(self, policy: RetryPolicy) -> Retries:
        """Return the terms of the target."""
        return Retries(policy=policy, allowance=self.allowance, clock=self.clock, target=TARGET, draw=longest)

    def after(self, seconds: float, word: str) -> Callable[[LLMRequest], Awaitable[str]]:
        """Return a reply that takes its time."""

        async def reply(_: LLMRequest) -> str:
            await self.clock.sleep(seconds)
            return word

        return reply

    def failing(self, seconds: float, error: Exception) -> Callable[[LLMRequest], Awaitable[Said]]:
        """Return a failure that takes its time."""

        async def reply(_: LLMRequest) -> Said:
            await self.clock.sleep(seconds)
            return error

        return reply

    async def asked(self, request: LLMRequest = HI) -> LLMResponse[str]:
        """Ask, and let time pass until there is an answer."""
        return await ended(self.clock, self.client.generate(request), 100.0)

    async def failure(self) -> LLMError:
        """Ask, and return the error."""
        with pytest.raises(LLMError) as caught:
            await self.asked()
        return caught.value


def told(response: LLMResponse[str] | LLMError) -> list[str]:
    """Return the steps as words."""
    return [f"{step.layer} {step.outcome}" for step in response.steps]


async def test_an_answer_in_time_is_sent_once() -> None:
    hedge = Hedge()
    hedge.leaf.add(hedge.after(0.9, "first"))
    response = await hedge.asked()
    assert (response.text, told(response)) == ("first", ["attempt answered"])


async def test_nothing_is_hedged_before_anybody_knows_what_slow_is() -> None:
    hedge = Hedge()
    hedge.latencies = LatencyWindow()
    hedge.client = hedge.over(hedge.leaf)
    hedge.leaf.add(*(hedge.after(50.0, "first") for _ in range(20)))
    for _ in range(20):
        assert (await hedge.asked()).text == "first"
    assert hedge.latencies.p95_s == 50.0


async def test_the_second_send_wins_when_it_answers_first_and_the_first_is_cancelled_and_booked() -> None:
    hedge = Hedge()
    hedge.leaf.add(lambda _: never(), hedge.after(0.5, "second"))
    response = await ended(hedge.clock, hedge.client.generate(HI), 1.5)
    assert response.text == "second"
    assert told(response) == ["attempt cancelled", "hedge second_answered", "attempt answered"]
    assert [step.latency_s for step in response.steps] == [1.5, 0.0, 0.5]
    assert response.steps[1].waited_s == 1.0
    assert sends_of(response.steps) == len(hedge.leaf.requests) == 2
    assert (hedge.tally.counts().answered, hedge.tally.counts().cancelled) == (1, 1)


async def test_the_first_send_may_still_win_and_the_second_is_cancelled_and_booked() -> None:
    hedge = Hedge()
    hedge.leaf.add(hedge.after(1.2, "first"), lambda _: never())
    response = await ended(hedge.clock, hedge.client.generate(HI), 1.2)
    assert response.text == "first"
    assert told(response) == ["attempt cancelled", "hedge first_answered", "attempt answered"]
    assert (hedge.tally.counts().answered, hedge.tally.counts().cancelled) == (1, 1)


async def test_both_answers_at_once_take_the_first_and_count_both() -> None:
    hedge = Hedge()
    hedge.leaf.add(hedge.after(1.5, "first"), hedge.after(0.5, "second"))
    response = await hedge.asked()
    assert response.text == "first"
    assert sends_of(response.steps) == 2
    assert hedge.tally.counts().answered == 2


async def test_a_send_that_fails_waits_for_the_other_one() -> None:
    hedge = Hedge()
    hedge.leaf.add(hedge.failing(1.2, DOWN), hedge.after(3.0, "second"))
    response = await hedge.asked()
    assert response.text == "second"
    assert told(response) == ["attempt failed", "hedge second_answered", "attempt answered"]


async def test_when_both_fail_the_later_error_tells_of_both() -> None:
    hedge = Hedge()
    hedge.leaf.add(hedge.failing(1.2, DOWN), hedge.failing(3.0, LLMValidationError("wrong")))
    error = await hedge.failure()
    assert error.reason == "invalid_request"
    assert told(error) == ["attempt failed", "hedge both_failed", "attempt failed"]
    assert error.__context__ is None


async def test_a_failure_before_the_time_is_raised_and_not_hedged() -> None:
    hedge = Hedge()
    hedge.leaf.add(hedge.failing(0.5, DOWN))
    assert told(await hedge.failure()) == ["attempt failed"]


async def test_a_foreign_error_is_raised_as_it_is() -> None:
    for replies in ([0.5], [1.2, 2.0]):
        hedge = Hedge()
        hedge.leaf.add(*(hedge.failing(seconds, ZeroDivisionError("theirs")) for seconds in replies))
        with pytest.raises(ZeroDivisionError, match="theirs"):
            await hedge.asked()


async def test_an_endpoint_without_tokens_is_not_asked_twice_nor_is_the_last_resort_drawn_on() -> None:
    hedge = Hedge(policy=RetryBudgetPolicy(ratio=0.0, floor_per_s=0.0, last_resort_ratio=1.0))
    hedge.allowance.first_sent(0.0)
    hedge.leaf.add(hedge.after(5.0, "first"))
    response = await hedge.asked()
    assert (response.text, told(response)) == ("first", ["attempt answered"])


async def test_a_hedge_draws_one_token() -> None:
    hedge = Hedge()
    hedge.leaf.add(lambda _: never(), hedge.after(0.5, "second"))
    await hedge.asked()
    assert hedge.allowance.counts(0.0).taken == 1.0


@pytest.mark.parametrize(("bound", "sends"), [(Bound(1.2), 1), (Bound(1.3), 2), (Bound(9.0, sent=7), 1), (None, 2)])
async def test_no_second_send_without_time_or_beyond_the_total(bound: Bound | None, sends: int) -> None:
    hedge = Hedge()
    hedge.leaf.add(hedge.after(1.1, "first"), hedge.after(1.1, "second"))
    response = await hedge.asked(HI if bound is None else HI.with_bound(bound))
    assert (response.text, sends_of(response.steps)) == ("first", sends)


async def test_one_attempt_in_all_is_never_hedged() -> None:
    hedge = Hedge()
    hedge.client = hedge.over(hedge.leaf, total_attempts=1)
    hedge.leaf.add(hedge.after(5.0, "first"))
    assert (await hedge.asked()).text == "first"


async def test_a_stream_is_never_hedged() -> None:
    hedge = Hedge()
    hedge.leaf.add(hedge.after(5.0, "first"))
    assert await ended(hedge.clock, streamed(hedge.client, HI), 5.0) == ("attempt answered",)


@pytest.mark.parametrize("at", [0.5, 1.5])
async def test_cancelling_ends_both_sends_before_it_goes_on_even_twice(at: float) -> None:
    hedge = Hedge()
    left: list[str] = []

    async def slow_to_leave(_: LLMRequest) -> str:
        try:
            return await never()
        finally:
            for _turn in range(5):
                await asyncio.sleep(0)
            left.append("left")

    hedge.leaf.add(slow_to_leave, slow_to_leave)
    before = asyncio.all_tasks()
    call = asyncio.create_task(hedge.client.generate(HI))
    await hedge.clock.advance(at)
    call.cancel()
    await turns(2)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert asyncio.all_tasks() == before
    assert len(left) == (1 if at < 1.0 else 2)
    assert hedge.clock.waiting == 0


async def test_an_attempt_that_the_hedge_beat_still_counts_as_slow() -> None:
    hedge = Hedge()
    hedge.leaf.add(*(reply for _ in range(210) for reply in (lambda _: never(), hedge.after(0.1, "second"))))
    for _ in range(210):
        assert (await hedge.asked()).text == "second"
    slow_s = hedge.latencies.p95_s
    assert slow_s is not None
    assert slow_s >= 1.0


async def test_the_retry_above_counts_the_hedge_as_a_send() -> None:
    hedge = Hedge()
    hedge.leaf.add(hedge.failing(1.2, DOWN), hedge.failing(3.0, DOWN), hedge.failing(0.0, DOWN))
    retry = RetryingClient(hedge.client, hedge.terms(RetryPolicy(attempts=3)))
    with pytest.raises(LLMTemporaryError) as caught:
        await ended(hedge.clock, retry.generate(HI))
    assert sends_of(caught.value.steps) == len(hedge.leaf.requests) == caught.value.attempt == 3


async def test_a_client_that_cancels_itself_is_cancelled_and_leaves_nothing() -> None:

    hedge = Hedge()

    async def leave(_: LLMRequest) -> str:
        await hedge.clock.sleep(1.2)
        raise asyncio.CancelledError

    hedge.leaf.add(leave, lambda _: never())
    with pytest.raises(asyncio.CancelledError):
        await hedge.asked()
    assert hedge.tally.counts().cancelled == 2


def test_its_place_in_the_chain_can_be_read() -> None:
    assert repr(Hedge().client).startswith("Hedged > Observe(attempt) > Scripted")
