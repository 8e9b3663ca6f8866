"""ResumedClient: streams that begin anew, what their readers get, and what they never do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import pytest
from typing_extensions import override

from loomwire.application.clients.resumed import ResumedClient
from loomwire.application.pipeline import client_key
from loomwire.application.resilience.restarts import Origin
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, LLMNetworkError, StreamInterruptedError, llm_error
from loomwire.domain.events import Finished, StreamEvent, StreamRestarted, TextDelta, ToolCallStart, UsageUpdate
from loomwire.domain.policies import RetryBudgetPolicy, RetryPolicy
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.pricing import Cost, Prices, Unpriced, Usage
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import ToolCall
from loomwire.testing import FakeClock, Reply, ScriptedClient
from support.chains import HI, target, turns
from support.falling import Falling, at, client_of, falling, says, told
from support.retrying import ended, terms

AGAIN = replace(HI, resume="restart")
CUT = Reply("One two three four", cut_after=7)
WHOLE = "Five six."


def one(*replies: Reply | str | LLMError, config: LLMConfig | None = None) -> tuple[Falling, ScriptedClient]:
    """Return a client with one target, and its leaf."""
    leaf = says(*replies, name="a/m")
    return falling(client_of(config or at("a/m")), {"a/m": leaf}), leaf


async def read(client: ILLMClient, request: LLMRequest = AGAIN) -> tuple[list[StreamEvent], LLMResponse[str]]:
    """Read a stream to its end."""
    async with client.stream(request) as stream:
        events = [event async for event in stream]
        return events, stream.response


async def broken(made: Falling, request: LLMRequest = AGAIN) -> StreamInterruptedError:
    """Return the error in which a stream ends."""
    with pytest.raises(StreamInterruptedError) as caught:
        await ended(made.clock, read(made.client, request))
    return caught.value


async def test_without_asking_for_it_a_broken_stream_raises_with_exactly_what_was_delivered() -> None:
    made, leaf = one(CUT, WHOLE)
    error = await broken(made, HI)
    assert error.partial_text == "One two"
    assert len(leaf.requests) == 1


async def test_a_broken_stream_begins_anew_after_an_event_that_says_so() -> None:
    made, leaf = one(CUT, WHOLE)
    events, response = await ended(made.clock, read(made.client))
    at_restart = events.index(StreamRestarted("stream_interrupted"))
    assert "".join(event.text for event in events[:at_restart] if isinstance(event, TextDelta)) == "One two"
    assert "".join(event.text for event in events[at_restart:] if isinstance(event, TextDelta)) == WHOLE
    assert isinstance(events[-1], Finished)
    assert response.text == WHOLE
    assert leaf.open_streams == 0
    assert len(leaf.requests) == 2


async def test_a_stream_that_does_not_break_is_as_if_nobody_had_asked() -> None:
    made, leaf = one(WHOLE)
    events, response = await read(made.client)
    assert StreamRestarted not in map(type, events)
    assert (response.text, told(response), len(leaf.requests)) == (WHOLE, ("attempt a/m answered",), 1)


async def test_a_context_that_is_entered_again_is_another_call() -> None:
    made, leaf = one(CUT, WHOLE, CUT, WHOLE)
    streaming = made.client.stream(AGAIN)
    for _ in range(2):
        async with streaming as stream:
            await ended(made.clock, _drained(stream.__aiter__()))
            assert len(stream.response.steps) == 3
    assert (len(leaf.requests), leaf.open_streams) == (4, 0)


async def test_the_answer_tells_of_every_beginning_and_the_call_is_answered() -> None:
    made, _ = one(CUT, WHOLE)
    _, response = await ended(made.clock, read(made.client))
    assert told(response) == (
        "attempt a/m failed stream_interrupted",
        "resume a/m restarted stream_interrupted",
        "attempt a/m answered",
    )
    assert response.steps[1].waited_s == pytest.approx(0.25)
    counts = made.parts.stats.counts(client_key("planner"))
    assert (counts.answered, counts.failed) == (1, 0)


async def test_a_second_break_begins_it_once_more() -> None:
    made, leaf = one(CUT, Reply(tool_calls=(ToolCall("", "look", {"at": "this"}),), cut_after=3), WHOLE)
    events, response = await ended(made.clock, read(made.client, replace(AGAIN, deadline_s=100.0)))
    assert [type(event) for event in events].count(StreamRestarted) == 2
    assert any(isinstance(event, ToolCallStart) for event in events)
    assert (response.text, response.tool_calls) == (WHOLE, ())
    assert [request.bound.sent for request in leaf.requests if request.bound] == [0, 1, 2]


async def test_it_keeps_to_the_total_number_of_sends() -> None:
    few = at("a/m", retry=RetryPolicy(attempts=1, total_attempts=3))
    made, leaf = one(*[CUT] * 5, config=few)
    error = await broken(made)
    assert len(leaf.requests) == 3
    assert error.partial_text == "One two"
    assert told(error)[-1] == "resume a/m total_attempts_used stream_interrupted"
    assert error.__context__ is None


async def test_sends_of_the_first_beginning_count_too() -> None:
    down = LLMNetworkError("reset")
    twice = at("a/m", retry=RetryPolicy(attempts=3, total_attempts=3))
    made, leaf = one(down, down, CUT, WHOLE, config=twice)
    error = await broken(made)
    assert len(leaf.requests) == 3
    assert told(error)[-1] == "resume a/m total_attempts_used stream_interrupted"


async def test_it_is_paid_by_the_retry_budget_of_the_endpoint() -> None:
    poor = replace(at("a/m"), retry_budget=RetryBudgetPolicy(ratio=0.0, floor_per_s=0.0, last_resort_ratio=0.0))
    made, leaf = one(CUT, WHOLE, config=poor)
    error = await broken(made)
    assert len(leaf.requests) == 1
    assert told(error)[-1] == "resume a/m no_retry_budget stream_interrupted"


async def test_nothing_begins_anew_when_too_little_time_is_left() -> None:
    clock, leaf = FakeClock(), _Breaking()
    client = ResumedClient(leaf, [Origin(target(), terms(clock))])
    with pytest.raises(StreamInterruptedError) as caught:
        await ended(clock, read(client, AGAIN.with_bound(Bound(0.2))))
    assert (leaf.sent, told(caught.value)) == (1, ("resume vendor/m no_time stream_interrupted",))


async def test_a_failure_that_would_not_help_again_ends_the_stream() -> None:
    class Filtered(_Breaking):
        reason = "content_filter"

    clock = FakeClock()
    client = ResumedClient(Filtered(), [Origin(target(), terms(clock))])
    with pytest.raises(LLMError) as caught:
        await ended(clock, read(client))
    assert (caught.value.reason, told(caught.value)) == ("content_filter", ())


async def test_a_failure_that_may_pass_once_is_not_passed_over_twice() -> None:
    class Odd(_Breaking):
        reason = "protocol"

    clock, leaf = FakeClock(), Odd()
    client = ResumedClient(leaf, [Origin(target(), terms(clock))])
    with pytest.raises(LLMError) as caught:
        await ended(clock, read(client))
    assert leaf.sent == 2
    assert told(caught.value) == ("resume vendor/m restarted protocol", "resume vendor/m limit_used protocol")


@pytest.mark.parametrize("reason", ["quota_exhausted", "too_large"])
async def test_what_is_not_asked_again_may_be_asked_elsewhere_when_it_rests(reason: str) -> None:
    class Poor(_Breaking):
        pass

    Poor.reason = reason
    clock, leaf = FakeClock(), Poor()
    origins = [Origin(target(), terms(clock)), Origin(target("n"), terms(clock))]
    client = ResumedClient(leaf, origins)
    with pytest.raises(LLMError):
        await ended(clock, read(client))
    # A total of eight sends, without a wait; what is too large here has no rest, and would be asked the same.
    assert leaf.sent == (8 if reason == "quota_exhausted" else 1)
    alone = ResumedClient(leaf, origins[:1])
    with pytest.raises(LLMError):
        await ended(clock, read(alone))
    assert leaf.sent == (9 if reason == "quota_exhausted" else 2)


async def test_a_longer_wait_than_the_policy_allows_ends_the_stream() -> None:
    class Busy(_Breaking):
        reason = "throttled"
        retry_after: float | None = 100.0

    clock, leaf = FakeClock(), Busy()
    origins = [Origin(target(), terms(clock)), Origin(target("n"), terms(clock))]
    with pytest.raises(LLMError) as caught:
        await ended(clock, read(ResumedClient(leaf, origins[:1])))
    assert (leaf.sent, told(caught.value)) == (1, ("resume vendor/m wait_too_long throttled",))
    with pytest.raises(LLMError) as caught:
        await ended(clock, read(ResumedClient(leaf, origins)))
    # The others need not wait for the one that rests.
    assert (leaf.sent, {step.waited_s for step in caught.value.steps}) == (9, {0.0})


async def test_a_restart_that_fails_raises_what_was_delivered_and_says_why() -> None:
    made, _ = one(CUT, llm_error("credentials", "no"))
    error = await broken(made)
    assert error.partial_text == "One two"
    assert error.metadata["restart"] == "AUT001"
    assert told(error) == (
        "attempt a/m failed stream_interrupted",
        "resume a/m restarted stream_interrupted",
        "attempt a/m failed credentials",
        "resume failed credentials",
    )
    counts = made.parts.stats.counts(client_key("planner"))
    assert dict(counts.errors) == {"STR001": 1}


async def test_another_target_goes_on_where_the_first_cannot() -> None:
    leaves = {"a/x": says(CUT, llm_error("server", "down"), name="a/x"), "b/y": says(WHOLE, name="b/y")}
    made = falling(client_of(at("a/x"), at("b/y")), leaves)
    _, response = await ended(made.clock, read(made.client))
    assert (response.provider, response.text) == ("b", WHOLE)
    assert "fallback b/y chosen" in told(response)


async def test_usage_and_cost_are_those_of_all_beginnings() -> None:
    seen, last = Usage(10, 2), Usage(10, 5)
    clock = FakeClock()
    prices = Prices.per_mtok(Decimal(1), Decimal(1))
    leaf = _Breaking(seen, then=last)
    client = ResumedClient(leaf, [Origin(replace(target(), prices=prices), terms(clock))])
    events, response = await ended(clock, read(client))
    assert response.usage == Usage(20, 7, estimated=True)
    assert response.cost == Cost(12 + 15, estimated=True)
    assert [event.usage.output_tokens for event in events if isinstance(event, UsageUpdate)] == [2, 7]


@pytest.mark.parametrize(("free", "cost"), [(True, Cost(15)), (False, Unpriced("no_price"))])
async def test_what_is_not_known_of_the_broken_part_stays_unknown(free: bool, cost: object) -> None:
    clock = FakeClock()
    leaf = _Breaking(then=Usage(10, 5))
    client = ResumedClient(leaf, [Origin(replace(target(), free=free), terms(clock))])
    _, response = await ended(clock, read(client))
    assert response.usage == Usage(10, 5, known=False)
    assert response.cost == cost


async def test_an_error_after_a_restart_tells_what_all_beginnings_used() -> None:
    clock = FakeClock()
    leaf = _Breaking(Usage(10, 2))
    client = ResumedClient(leaf, [Origin(target(), terms(clock, RetryPolicy(total_attempts=2)))])
    with pytest.raises(StreamInterruptedError) as caught:
        await ended(clock, read(client))
    assert caught.value.usage_so_far == Usage(20, 4, estimated=True)


async def test_a_request_without_a_bound_is_resumed_too_and_whole_answers_pass_through() -> None:
    clock = FakeClock()
    leaf = says(CUT, WHOLE, "whole")
    client = ResumedClient(leaf, [Origin(target(), terms(clock))])
    _, response = await ended(clock, read(client))
    assert response.text == WHOLE
    assert (await client.generate(AGAIN)).text == "whole"
    assert repr(client) == "Resumed > ScriptedClient(scripted/scripted)"


async def test_cancellation_while_it_waits_leaves_nothing_and_nothing_begins_afterwards() -> None:
    made, leaf = one(CUT, WHOLE)
    async with made.client.stream(AGAIN) as stream:
        events = stream.__aiter__()
        reading = asyncio.ensure_future(_drained(events))
        await turns()
        assert leaf.open_streams == 0
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert (stream.error, stream.finished, made.clock.waiting) == (None, False, 0)
        with pytest.raises(StreamInterruptedError, match="broke"):
            await anext(events)
        with pytest.raises(StreamInterruptedError):
            _ = stream.response
    assert len(leaf.requests) == 1
    tokens = made.states.retry_tokens.allowance("a", RetryBudgetPolicy()).counts(made.clock.now())
    assert tokens.taken == 0


async def test_a_cancelled_call_counts_as_cancelled() -> None:
    made, _ = one(CUT, WHOLE)
    reading = asyncio.ensure_future(read(made.client))
    await turns()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert made.parts.stats.counts(client_key("planner")).cancelled == 1


async def test_nothing_begins_for_a_reader_that_left_while_it_waits() -> None:
    made, leaf = one(CUT, WHOLE)
    async with made.client.stream(AGAIN) as stream:
        reading = asyncio.ensure_future(_drained(stream.__aiter__()))
        await turns()
    await made.clock.advance(5)
    with pytest.raises(StreamInterruptedError):
        await reading
    assert len(leaf.requests) == 1


async def test_a_stream_that_begins_after_its_reader_left_is_left_at_once() -> None:
    gate = asyncio.Event()

    async def late() -> str:
        await gate.wait()
        return WHOLE

    leaf = ScriptedClient(CUT, lambda _: late(), name="a", model="m", clock=FakeClock())
    made = falling(client_of(at("a/m")), {"a/m": leaf})
    async with made.client.stream(AGAIN) as stream:
        reading = asyncio.ensure_future(_drained(stream.__aiter__()))
        await turns()
        await made.clock.advance(1)
        assert len(leaf.requests) == 2
    gate.set()
    with pytest.raises(StreamInterruptedError):
        await reading
    assert leaf.open_streams == 0


async def test_reading_on_after_leaving_begins_nothing() -> None:
    made, leaf = one(Reply("One two three four five six"), WHOLE)
    async with made.client.stream(AGAIN) as stream:
        events = stream.__aiter__()
        await anext(events)
    with pytest.raises(StreamInterruptedError, match="left"):
        await _drained(events)
    await made.clock.advance(5)
    assert (len(leaf.requests), leaf.open_streams) == (1, 0)


async def test_a_restart_ends_at_the_deadline() -> None:
    hang = asyncio.Event()

    async def never() -> str:
        await hang.wait()
        return WHOLE

    leaf = ScriptedClient(CUT, lambda _: never(), name="a", model="m", clock=FakeClock())
    made = falling(client_of(at("a/m")), {"a/m": leaf})
    error = await broken(made, replace(AGAIN, deadline_s=10.0))
    assert (error.partial_text, error.metadata["restart"]) == ("One two", "TIM007")
    assert leaf.open_streams == 0


async def _drained(events: AsyncIterator[StreamEvent]) -> None:
    async for _ in events:
        pass


class _Breaking(ILLMClient):
    """Breaks every stream after a word, or only the first one, with the usage so far."""

    reason: str = "stream_interrupted"
    retry_after: float | None = None

    def __init__(self, seen: Usage | None = None, then: Usage | None = None) -> None:
        self.sent = 0
        self._seen = seen
        self._then = then

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        raise NotImplementedError

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        self.sent += 1
        last = self._then if self.sent > 1 else None
        return _opened(_BreakingStream(self._error, self._seen, last))

    def _error(self) -> LLMError:
        if self.reason != "stream_interrupted":
            return llm_error(self.reason, "broken", retry_after=self.retry_after)
        return StreamInterruptedError("broken", usage_so_far=self._seen)


class _BreakingStream(LLMStream):
    def __init__(self, error: Callable[[], LLMError], seen: Usage | None, last: Usage | None) -> None:
        self._made = error
        self._seen = seen
        self._last = last

    @override
    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        yield TextDelta("one ")
        usage = self._last or self._seen
        if usage is not None:
            yield UsageUpdate(usage)
        if self._last is None:
            raise self._made()
        yield Finished("stop")

    @property
    @override
    def response(self) -> LLMResponse[str]:
        if self._last is None:
            raise StreamInterruptedError("not read to its end")
        return LLMResponse("one ", "one ", "vendor", "m", usage=self._last, cost=Cost(15))


@asynccontextmanager
async def _opened(stream: LLMStream) -> AsyncGenerator[LLMStream]:
    yield stream
