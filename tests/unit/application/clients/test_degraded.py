"""DegradedClient: the last resort, and that nobody takes it for an answer."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from loomwire.application.clients.degraded import DegradedClient
from loomwire.application.pipeline import Parts, build_client, client_key
from loomwire.application.resilience.stand_ins import StandIn, stand_in
from loomwire.application.state.stats import CallStats
from loomwire.application.state.targets import TargetStates
from loomwire.domain.config import ClientConfig
from loomwire.domain.errors import (
    AllTargetsFailedError,
    LLMError,
    LLMTemporaryError,
    LLMValidationError,
    StreamInterruptedError,
    UnknownNameError,
)
from loomwire.domain.events import CallRecord, Finished, StreamEvent, TextDelta
from loomwire.domain.policies import ExhaustedPolicy
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.testing import FakeClock, RecordingSink, Reply, ScriptedClient
from support.chains import HI, hanging, turns
from support.falling import NamedFactory, at, client_of, says, told
from support.retrying import ended

DOWN = LLMTemporaryError("down")
STATIC = ExhaustedPolicy("static", "Try again later.")


class Made:
    """A client that stands in, and what the test wants to look at."""

    def __init__(self, *leaves: ILLMClient, policy: ExhaustedPolicy = STATIC, total_s: float = 900.0) -> None:
        self.clock = FakeClock()
        self.sink = RecordingSink()
        names = ("a/x", "b/y")[: len(leaves)]
        factory = NamedFactory(dict(zip(names, leaves, strict=True)))
        self.parts = Parts(factory, self.clock, CallStats(), TargetStates(self.clock), (self.sink,))
        config: ClientConfig = client_of(*map(at, names))
        self.client = build_client(replace(config, on_exhausted=policy, total_s=total_s), self.parts)

    @property
    def record(self) -> CallRecord:
        """The record of the one call."""
        (record,) = (record for record in self.sink.records if record.level == "call")
        return record


def calling(name: str) -> ExhaustedPolicy:
    """Return a policy with a function of the host."""
    return ExhaustedPolicy("callable", function=f"support.standing_in:{name}")


async def streamed(client: ILLMClient, request: LLMRequest = HI) -> tuple[list[StreamEvent], LLMResponse[str]]:
    """Read a stream to its end."""
    async with client.stream(request) as stream:
        events = [event async for event in stream]
        return events, stream.response


async def test_an_answer_passes_through_and_counts_as_one() -> None:
    made = Made(says("Hello.", "Hello.", name="a/x"))
    assert not (await made.client.generate(HI)).degraded
    events, response = await streamed(made.client)
    assert isinstance(events[-1], Finished)
    assert not response.degraded
    assert made.parts.stats.counts(client_key("planner")).answered == 2


async def test_a_text_stands_in_when_every_target_failed_and_says_so() -> None:
    made = Made(says(DOWN, name="a/x"), says(DOWN, name="b/y"))
    response = await made.client.generate(HI)
    assert (response.text, response.degraded, response.provider) == ("Try again later.", True, "stand-in")
    assert told(response)[-1] == "degraded stood_in all_targets_failed"
    assert told(response)[0] == "attempt a/x failed server"


async def test_a_stand_in_is_no_success_in_any_count() -> None:
    made = Made(says(DOWN, name="a/x"))
    await made.client.generate(HI)
    record = made.record
    assert (record.outcome, record.code, record.degraded) == ("failed", "TMP001", True)
    assert (record.usage, record.cost) == (None, None)
    counts = made.parts.stats.counts(client_key("planner"))
    assert (counts.answered, counts.failed, counts.success_rate) == (0, 1, 0.0)
    assert (counts.unpriced, dict(counts.errors)) == (0, {"TMP001": 1})


async def test_an_answer_marked_by_a_client_of_the_hosts_own_counts_as_none_either() -> None:
    own = LLMResponse("x", "x", "own", "m", degraded=True)
    made = Made(says(own, name="a/x"))
    assert (await made.client.generate(HI)).degraded
    assert (made.record.outcome, made.record.code, made.record.degraded) == ("failed", "", True)


async def test_a_stream_that_cannot_be_entered_is_one_of_the_stand_in() -> None:
    made = Made(says(DOWN, name="a/x"))
    events, response = await streamed(made.client)
    assert events == [TextDelta("Try again later."), Finished("stop")]
    assert (response.degraded, made.record.degraded, made.record.streamed) == (True, True, True)


async def test_a_stand_in_that_is_not_read_to_its_end_is_no_answer() -> None:
    made = Made(says(DOWN, name="a/x"))
    async with made.client.stream(HI) as stream:
        assert await anext(stream.__aiter__()) == TextDelta("Try again later.")
        with pytest.raises(StreamInterruptedError) as caught:
            _ = stream.response
        assert caught.value.partial_text == "Try again later."
    assert (made.record.outcome, made.record.degraded) == ("abandoned", False)


async def test_a_stream_that_breaks_after_its_first_word_is_never_replaced() -> None:
    made = Made(says(Reply("One two three", cut_after=4), name="a/x"))
    with pytest.raises(StreamInterruptedError):
        await streamed(made.client)
    assert (made.record.outcome, made.record.degraded) == ("failed", False)


@pytest.mark.parametrize("how", ["generate", "stream"])
async def test_what_is_wrong_with_the_call_itself_is_raised(how: str) -> None:
    made = Made(says(LLMValidationError("no such parameter"), name="a/x"))
    with pytest.raises(LLMValidationError):
        await (made.client.generate(HI) if how == "generate" else streamed(made.client))


async def test_a_passed_deadline_is_answered_for() -> None:
    made = Made(hanging(), total_s=10.0)
    response = await ended(made.clock, made.client.generate(HI))
    assert (response.degraded, told(response)) == (True, ("attempt a/x failed deadline", "degraded stood_in deadline"))


async def test_cancellation_is_never_answered_for() -> None:
    made = Made(hanging())
    call = asyncio.ensure_future(made.client.generate(HI))
    await turns()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (made.record.outcome, made.record.degraded) == ("cancelled", False)


async def test_a_function_of_the_host_answers() -> None:
    made = Made(says(DOWN, DOWN, name="a/x"), policy=calling("waiting"))
    assert (await made.client.generate(HI)).text == "Hi: TMP001"
    assert (await streamed(made.client))[1].text == "Hi: TMP001"
    assert "Degraded(callable) > Deadline" in repr(made.client)


@pytest.mark.parametrize("function", ["raising", "nothing"])
async def test_a_function_that_fails_leaves_the_error_of_the_call(
    function: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = Made(says(DOWN, name="a/x"), says(DOWN, name="b/y"), policy=calling(function))
    with caplog.at_level(logging.DEBUG), pytest.raises(AllTargetsFailedError) as caught:
        await made.client.generate(HI)
    assert told(caught.value)[-1] == "degraded failed hook"
    assert caught.value.__context__ is None
    assert isinstance(caught.value.original_error, KeyError | TypeError)
    assert "gave no answer" in caplog.text
    assert "a word of the prompt" not in caplog.text
    assert (made.record.outcome, made.record.degraded) == ("failed", False)


def test_a_function_that_is_not_there_keeps_the_client_from_being_built() -> None:
    with pytest.raises(UnknownNameError):
        Made(says(), policy=calling("nowhere"))


@pytest.mark.parametrize(("passed_s", "left_s"), [(0.0, 10.0), (9.95, 0.1), (10.0, 0.1)])
async def test_a_function_has_the_time_that_is_left_and_a_little_more(passed_s: float, left_s: float) -> None:
    clock = FakeClock()
    asked: list[float] = []

    async def slow(_: LLMRequest, __: LLMError) -> str:
        asked.append(clock.now())
        await asyncio.Event().wait()
        return "never"

    ends: list[float] = []
    client = late(slow, clock, passed_s, ends)
    call = asyncio.ensure_future(client.generate(HI))
    await clock.advance(100.0)
    with pytest.raises(LLMTemporaryError) as caught:
        await call
    assert told(caught.value) == ("degraded failed deadline",)
    assert asked == [passed_s]
    assert ends == [pytest.approx(passed_s + left_s)]


async def test_without_a_deadline_above_it_makes_its_own() -> None:
    clock = FakeClock()
    leaf = ScriptedClient("Hello.", clock=clock)

    async def said(_: LLMRequest, error: LLMError) -> str:
        return error.code

    client = DegradedClient(leaf, said, mode="static", total_s=7.0, clock=clock)
    await client.generate(HI)
    bound = leaf.requests[0].bound
    assert bound is not None
    assert bound.at == 7.0
    answer = await client.answered(HI, DOWN)
    assert answer == stand_in("TMP001", "static", DOWN)


def late(answer: StandIn, clock: FakeClock, after_s: float, ends: list[float]) -> DegradedClient:
    """Return a client whose targets fail after some time, and that notes when its function ended."""

    async def failing(_: LLMRequest) -> LLMError:
        await clock.sleep(after_s)
        return LLMTemporaryError("down")

    async def timed(request: LLMRequest, error: LLMError) -> str:
        try:
            return await answer(request, error)
        finally:
            ends.append(clock.now())

    return DegradedClient(ScriptedClient(failing, clock=clock), timed, mode="callable", total_s=10.0, clock=clock)
