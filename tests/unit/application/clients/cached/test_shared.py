"""Equal calls at once: one is sent, everybody gets all of it, and nobody harms anybody."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest

from loomwire.domain.errors import (
    ClientRemovedError,
    LLMError,
    LLMTemporaryError,
    LLMTimeoutError,
    LLMValidationError,
    StreamInterruptedError,
)
from loomwire.domain.events import StreamRestarted, TextDelta, ToolCallEnd, UsageUpdate
from loomwire.domain.pricing import FREE, Usage
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.values import JSON, ToolCall
from loomwire.testing import Reply
from support.chains import HI, turns
from support.falling import told
from support.feeding import END, ONE, TWO, USED, Read, fed, tasks_of_flights
from support.keeping import Saved, ask, events_of, listen

DOWN = LLMTemporaryError("down")
BROKE = StreamInterruptedError("broke", partial_text="one ")


async def test_everybody_reads_along_from_the_beginning_and_one_pays() -> None:
    leaf, saved = fed()
    first = Read(saved)
    leaf.feed(ONE)
    await turns()
    late, plain = Read(saved), ask(saved, HI)
    await turns()
    assert first.events == late.events == [ONE]
    leaf.feed(TWO, UsageUpdate(USED), END)
    await turns()
    assert first.events == [ONE, TWO, UsageUpdate(USED), END]
    assert late.events == [ONE, TWO, UsageUpdate(Usage()), END]
    answers = [await first.task, await late.task, await plain]
    assert [(one.usage, one.cached) for one in answers] == [(USED, False), (Usage(), True), (Usage(), True)]
    assert [one.cost == FREE for one in answers] == [False, True, True]
    assert [told(one) for one in answers] == [
        ("attempt p/m answered",),
        *[("cache shared", "attempt p/m answered")] * 2,
    ]
    assert (leaf.begun, leaf.open, tasks_of_flights()) == (1, 0, 0)
    assert saved.counts == {"misses": 1, "shared": 2, "kept": 1}


async def test_a_stream_may_wait_for_a_plain_call_and_plays_its_answer() -> None:
    leaf, saved = fed()
    plain = ask(saved, HI)
    await turns()
    reader = Read(saved)
    await turns()
    leaf.feed(END)
    assert ((await plain).cached, (await reader.task).cached, leaf.begun) == (False, True, 1)
    assert reader.events == [TextDelta("one two"), UsageUpdate(Usage()), END]


async def test_a_slow_reader_holds_nobody_up() -> None:
    leaf, saved = fed()
    slow, quick = Read(saved), Read(saved)
    slow.go.clear()
    leaf.feed(ONE, TWO, END)
    await turns()
    assert (slow.events, (await quick.task).text, leaf.open) == ([ONE], "one two", 0)
    slow.go.set()
    assert ((await slow.task).text, slow.events) == ("one two", [ONE, TWO, END])


async def test_the_last_reader_who_leaves_closes_the_stream_and_waits_for_that() -> None:
    leaf, saved = fed()
    first, second = Read(saved), Read(saved)
    leaf.feed(ONE)
    await turns()
    first.task.cancel()
    await turns()
    assert (first.task.cancelled(), leaf.open) == (True, 1)
    second.task.cancel()
    await turns()
    assert (second.task.cancelled(), leaf.open, tasks_of_flights(), saved.place.kept) == (True, 0, 0, {})


async def test_walking_away_closes_it_too_and_what_is_left_says_so() -> None:
    leaf, saved = fed()
    leaf.feed(ONE)
    async with saved.client.stream(HI) as stream:
        assert await anext(aiter(stream)) == ONE
    assert (leaf.open, stream.finished, tasks_of_flights()) == (0, False, 0)
    with pytest.raises(StreamInterruptedError) as raised:
        await anext(aiter(stream))
    assert raised.value.partial_text == "one "
    with pytest.raises(StreamInterruptedError):
        _ = stream.response


async def test_leaving_before_it_begins_leaves_nothing() -> None:
    leaf, saved = fed()
    leaf.enter.clear()
    readers = [Read(saved) for _ in range(3)]
    await turns()
    for reader in readers:
        reader.task.cancel()
    await turns()
    assert [reader.task.cancelled() for reader in readers] == [True] * 3
    assert (leaf.begun, leaf.open, tasks_of_flights()) == (1, 0, 0)


async def test_one_context_is_one_call_and_may_be_entered_again_when_it_is_left() -> None:
    leaf, saved = fed()
    leaf.feed(ONE, ONE)
    context = saved.client.stream(replace(HI, cache="refresh"))
    async with context:
        with pytest.raises(LLMValidationError):
            await context.__aenter__()
    async with context:
        assert leaf.begun == 2
    assert leaf.open == 0


@pytest.mark.parametrize("error", [DOWN, BROKE])
async def test_an_error_before_the_first_event_is_raised_on_entering_to_each_his_own(error: LLMError) -> None:
    leaf, saved = fed()
    leaf.enter.clear()
    readers, plain = [Read(saved), Read(saved)], ask(saved, HI)
    await turns()
    leaf.refusals = [copy.copy(error)]
    leaf.enter.set()
    leaf.feed(DOWN)
    await turns()
    errors = [*(reader.task.exception() for reader in readers), plain.exception()]
    assert [type(one) for one in errors[:2]] == [type(error)] * 2
    assert isinstance(errors[2], LLMTemporaryError)
    assert len({id(one) for one in errors}) == 3
    assert all(reader.stream is None for reader in readers)
    assert (leaf.begun, tasks_of_flights()) == (2 if error is BROKE else 1, 0)


async def test_an_error_after_that_comes_after_all_that_was_delivered() -> None:
    leaf, saved = fed()
    readers, plain = [Read(saved), Read(saved)], ask(saved, HI)
    await turns()
    leaf.feed(ONE, copy.copy(BROKE), END)
    await turns()
    for reader in readers:
        error = reader.task.exception()
        assert isinstance(error, StreamInterruptedError)
        assert (reader.events, error.partial_text) == ([ONE], "one ")
        assert reader.stream is not None
        assert reader.stream.error is error
        with pytest.raises(StreamInterruptedError) as raised:
            await anext(aiter(reader.stream))
        assert raised.value is error
    # A plain call would have been sent again, and so it is.
    assert ((await plain).text, leaf.begun) == ("one two", 2)


async def test_an_error_that_is_none_of_ours_goes_on_as_it_is() -> None:
    leaf, saved = fed()
    reader = Read(saved)
    leaf.feed(ONE, ValueError("no"))
    await turns()
    assert isinstance(reader.task.exception(), ValueError)
    assert reader.stream is not None
    assert reader.stream.error is None


async def test_after_a_restart_only_what_came_since_counts() -> None:
    leaf, saved = fed()
    again, anew = replace(HI, resume="restart"), StreamRestarted("reset")
    early, unread = Read(saved, again), Read(saved, again)
    slow = Read(saved, again)
    leaf.feed(ONE, TWO)
    slow.go.clear()
    await turns()
    async with saved.client.stream(again) as behind:
        leaf.feed(anew, TWO)
        await turns()
        late = Read(saved, again)
        await turns()
        leaf.feed(END)
        await turns()
        assert await events_of(behind) == late.events == [TWO, END]
    slow.go.set()
    await asyncio.gather(early.task, slow.task, unread.task)
    assert early.events == unread.events == [ONE, TWO, anew, TWO, END]
    assert slow.events == [ONE, anew, TWO, END]
    assert leaf.begun == 1


async def test_whoever_does_not_ask_for_restarts_does_not_share_with_those_who_do() -> None:
    leaf, saved = fed()
    one, other = Read(saved), Read(saved, replace(HI, resume="restart"))
    patient = Read(saved, replace(HI, priority="cost"))
    await turns()
    assert leaf.begun == 3
    for reader in (one, other, patient):
        reader.task.cancel()
    await turns()
    assert leaf.open == 0


def until(at: float) -> LLMRequest:
    """Return the request with a time by which it ends."""
    return HI.with_bound(Bound(at))


async def test_a_reader_with_less_time_than_the_stream_ends_at_his_own() -> None:
    leaf, saved = fed()
    first, short = Read(saved, until(10.0)), Read(saved, until(1.0))
    leaf.feed(ONE)
    await turns()
    leaf.feed(TWO)
    await saved.clock.advance(1.0)
    error = short.task.exception()
    assert isinstance(error, StreamInterruptedError)
    assert (error.reason, error.partial_text, short.events) == ("deadline", "one two", [ONE, TWO])
    leaf.feed(END)
    assert (await first.task).text == "one two"


async def test_a_reader_with_more_time_than_the_stream_does_not_read_along() -> None:
    leaf, saved = fed()
    short, same, more = Read(saved, until(3.0)), Read(saved, until(4.0)), Read(saved, until(5.0))
    plain = ask(saved, until(9.0))
    await turns()
    assert leaf.begun == 2
    leaf.feed(ONE, ONE, END, END)
    await turns()
    assert [(await one.task).cached for one in (short, same, more)] == [False, True, False]
    assert (await plain).cached


async def test_a_stream_that_was_too_slow_for_one_reader_is_left_to_those_who_read_it() -> None:
    leaf, saved = fed()
    first, hasty = Read(saved, until(100.0)), Read(saved, until(1.0))
    await saved.clock.advance(1.0)
    assert isinstance(hasty.task.exception(), StreamInterruptedError)
    newcomer = Read(saved, until(2.0))
    await turns()
    assert leaf.begun == 2
    leaf.feed(ONE, ONE, END, END)
    assert [(await one.task).cached for one in (first, newcomer)] == [False, False]


async def test_a_call_that_hangs_keeps_only_those_waiting_who_came_before_anybodys_time_was_over() -> None:
    saved = Saved([Reply("late", delay_s=50.0), "soon"])
    first, hasty = ask(saved, until(100.0)), ask(saved, until(1.0))
    await saved.clock.advance(1.1)
    # The deadline is a layer above.
    hasty.cancel()
    await turns()
    assert (await saved.client.generate(until(3.0))).text == "soon"
    await saved.clock.advance(49.0)
    assert ((await first).text, saved.sent) == ("late", 2)


LATE = LLMTimeoutError("late", reason="deadline")


async def test_who_has_more_time_does_not_share_a_deadline() -> None:
    leaf, saved = fed()
    first, plain = ask(saved, until(1.0)), ask(saved, until(9.0))
    await turns()
    reader = Read(saved, until(9.0))
    await turns()
    leaf.feed(LATE, END)
    await turns()
    assert isinstance(first.exception(), LLMTimeoutError)
    assert ((await plain).cached, (await reader.task).cached, leaf.begun) == (False, True, 2)


async def test_an_end_that_nobody_here_asked_for_interrupts_those_who_read_along() -> None:
    leaf, saved = fed()
    first, second = Read(saved), Read(saved)
    leaf.feed(ONE)
    await turns()
    leaf.feed(asyncio.CancelledError())
    await turns()
    assert first.task.cancelled()
    assert isinstance(second.task.exception(), StreamInterruptedError)


async def test_closing_ends_the_readers_with_a_typed_error() -> None:
    leaf, saved = fed()
    readers = [Read(saved), Read(saved)]
    leaf.feed(ONE)
    await turns()
    await saved.flights.aclose()
    await turns()
    assert [type(reader.task.exception()) for reader in readers] == [ClientRemovedError] * 2
    assert leaf.open == 0


async def test_a_second_cancellation_while_the_stream_closes_leaves_nothing() -> None:
    leaf, saved = fed()
    reader = Read(saved)
    leaf.feed(ONE)
    await turns()
    reader.task.cancel()
    await asyncio.sleep(0)
    reader.task.cancel()
    await turns()
    assert (reader.task.cancelled(), leaf.open, tasks_of_flights()) == (True, 0, 0)


@pytest.mark.parametrize("streamed", [False, True])
async def test_each_of_those_who_wait_gets_the_old_answer_when_no_target_answers(streamed: bool) -> None:
    leaf, saved = fed(policy=50.0)
    leaf.feed(END)
    await saved.client.generate(HI)
    saved.clock.move(110.0)
    leaf.enter.clear()
    calls = [(listen if streamed else ask)(saved, HI) for _ in range(3)]
    await turns()
    leaf.refusals = [copy.copy(DOWN)]
    leaf.enter.set()
    leaf.feed(copy.copy(DOWN))
    olds = await asyncio.gather(*calls)
    assert [(old.text, *told(old)) for old in olds] == [("one two", "cache dict stale server")] * 3
    assert leaf.begun == 2


async def test_what_is_there_is_given_while_somebody_has_it_renewed() -> None:
    leaf, saved = fed()
    leaf.feed(END)
    await saved.client.generate(HI)
    renewing = [ask(saved, replace(HI, cache="refresh")) for _ in range(2)]
    await turns()
    assert (await saved.client.generate(HI)).cached
    leaf.feed(END)
    assert [(await one).cached for one in renewing] == [False, True]
    assert leaf.begun == 2


def test_two_loops_send_one_each_and_share_what_was_kept() -> None:
    saved = Saved(["one", "two"])
    asyncio.run(saved.client.generate(HI))
    assert asyncio.run(saved.client.generate(HI)).cached
    saved.place.kept.clear()
    assert not asyncio.run(saved.client.generate(HI)).cached


async def test_nobodys_tools_change_the_arguments_of_anybody_else() -> None:
    given: Mapping[str, JSON] = {"to": [1, {"a": "b"}]}
    cut = ToolCall("d", "add", None, '{"to')
    saved = Saved([Reply("", tool_calls=(ToolCall("c", "add", MappingProxyType(given)), cut), delay_s=1.0)])
    calls = [ask(saved, HI), listen(saved, HI), ask(saved, HI)]
    await saved.clock.advance(1.0)
    answers = [await call for call in calls]
    made = [answer.tool_calls[0].arguments for answer in answers]
    assert (saved.sent, len(set(map(id, made)))) == (1, 3)
    assert made == [given] * 3
    assert {answer.tool_calls[1] for answer in answers} == {cut}


async def test_readers_of_one_stream_have_arguments_of_their_own() -> None:
    leaf, saved = fed()
    readers = [Read(saved), Read(saved)]
    leaf.feed(ToolCallEnd(0, ToolCall("c", "add", {"to": [1]})), END)
    await turns()
    made = [one.call for reader in readers for one in reader.events if isinstance(one, ToolCallEnd)]
    assert [call.arguments for call in made] == [{"to": [1]}] * 2
    assert made[0].arguments is not made[1].arguments


async def test_thousands_at_once_are_one_request() -> None:
    saved = Saved([Reply("one two", delay_s=1.0)])
    calls = [(ask, listen)[number % 2](saved, HI) for number in range(1000)]
    await saved.clock.advance(1.0)
    answers = await asyncio.gather(*calls)
    assert ({one.text for one in answers}, saved.sent) == ({"one two"}, 1)
    assert saved.counts == {"misses": 1, "shared": 999, "kept": 1}
