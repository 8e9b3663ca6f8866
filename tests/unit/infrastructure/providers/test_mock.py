from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import (
    ConfigError,
    ConfigRejectedError,
    LLMError,
    LLMNetworkError,
    LLMRateLimitError,
    LLMTimeoutError,
    LLMValidationError,
    StreamInterruptedError,
)
from loomwire.domain.events import (
    Finished,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageUpdate,
)
from loomwire.domain.messages import Image, Message, Reasoning, ToolResult
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.pricing import NO_USAGE, Cost, Usage
from loomwire.domain.requests import Bound, LLMRequest, OutputSpec
from loomwire.domain.responses import Finish
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, FrozenDict, ToolCall
from loomwire.infrastructure.providers.mock import MockClient
from loomwire.infrastructure.providers.offline.play import ReplyStream, played
from loomwire.infrastructure.providers.offline.reply import Failure, Reply, pieces, usage_of
from loomwire.infrastructure.providers.offline.scripts import check_script
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.testing import FakeClock

HI = LLMRequest.of("Hi")
CONFIG = LLMConfig(type="mock", model="m1", name="rehearsal")


def client(*script: JSON, clock: FakeClock | None = None) -> MockClient:
    """Return a client that plays the entries."""
    config = replace(CONFIG, options={"script": list(script)})
    return MockClient(config, SystemClock() if clock is None else clock)


async def streamed(player: ILLMClient, request: LLMRequest = HI) -> list[StreamEvent]:
    """Return all events of one stream."""
    async with player.stream(request) as stream:
        return [event async for event in stream]


async def heard_into(events: list[StreamEvent], player: ILLMClient) -> None:
    """Append what a stream delivers, also when it breaks."""
    async with player.stream(HI) as stream:
        async for event in stream:
            events.append(event)  # noqa: PERF401 - what came before the break counts


async def test_entries_are_played_in_order_whole_or_streamed() -> None:
    player = client({"text": "one"}, {"text": "two"}, {"text": "three"})
    assert (await player.generate(HI)).text == "one"
    assert TextDelta("two") in await streamed(player)
    assert (await player.generate(HI)).text == "three"


async def test_a_call_after_the_last_entry_is_a_typed_error_that_says_what_to_do() -> None:
    player = client({"text": "one"})
    await player.generate(HI)
    with pytest.raises(LLMValidationError, match=r"VAL001 \[rehearsal/m1\] the script is exhausted after 1 calls") as e:
        await player.generate(HI)
    assert "repeat: true" in e.value.hint
    with pytest.raises(LLMValidationError, match="exhausted"):
        await streamed(player)


async def test_the_last_entry_can_repeat_for_ever() -> None:
    player = client({"text": "one"}, {"text": "again", "repeat": True})
    assert [(await player.generate(HI)).text for _ in range(4)] == ["one", "again", "again", "again"]


async def test_a_stream_that_is_not_entered_plays_nothing() -> None:
    player = client({"text": "one"})
    player.stream(HI)
    async with player.stream(HI) as stream:
        assert await anext(aiter(stream)) == TextDelta("one")


async def test_leaving_a_stream_that_was_never_entered_is_harmless() -> None:
    await client({"text": "one"}).stream(HI).__aexit__(None, None, None)


async def test_the_answer_says_who_gave_it_what_it_used_and_why_it_ended() -> None:
    entry: JSON = {"text": "Hello there", "reasoning": "hm", "usage": {"input_tokens": 7, "output_tokens": 5}}
    answer = await client(entry).generate(HI)
    assert (answer.output, answer.text, answer.finish) == ("Hello there", "Hello there", "stop")
    assert (answer.provider, answer.model, answer.complete) == ("rehearsal", "m1", True)
    assert answer.reasoning == (Reasoning("hm"),)
    assert answer.usage == Usage(7, 5)


async def test_a_stream_and_a_whole_answer_of_the_same_entry_are_equal() -> None:
    entry: JSON = {
        "text": "Let me look.",
        "reasoning": "They want the weather.",
        "tool_calls": [{"name": "weather", "arguments": {"city": "Rome", "days": [1, 2]}}, {"name": "time"}],
        "usage": {"input_tokens": 1},
    }
    player = client(entry, entry)
    whole = await player.generate(HI)
    async with player.stream(HI) as stream:
        async for _ in stream:
            pass
        assert stream.response == whole


async def test_a_stream_comes_in_words_and_fragments_and_ends_with_usage_and_finished() -> None:
    call: JSON = {"name": "weather", "id": "c9", "arguments": {"city": "Rome"}}
    events = await streamed(client({"text": "Let me look.", "reasoning": "Hm, well", "tool_calls": [call]}))
    done = ToolCall("c9", "weather", {"city": "Rome"})
    assert events[:6] == [
        ReasoningDelta("Hm, "),
        ReasoningDelta("well"),
        TextDelta("Let "),
        TextDelta("me "),
        TextDelta("look."),
        ToolCallStart(0, "c9", "weather"),
    ]
    assert "".join(e.arguments for e in events if isinstance(e, ToolCallDelta)) == '{"city":"Rome"}'
    assert isinstance(events[-3], UsageUpdate)
    assert events[-2:] == [ToolCallEnd(0, done), Finished("tool_calls")]


async def test_long_arguments_come_in_several_fragments() -> None:
    call: JSON = {"name": "write", "arguments": {"text": "x" * 100}}
    events = await streamed(client({"tool_calls": [call]}))
    assert sum(isinstance(event, ToolCallDelta) for event in events) > 3


async def test_made_up_call_ids_go_on_counting_through_the_conversation() -> None:
    entry: JSON = {"tool_calls": [{"name": "a"}, {"name": "b"}]}
    player = client(entry, entry)
    first = await player.generate(HI)
    assert [call.id for call in first.tool_calls] == ["call_1", "call_2"]
    results = Message.tool(*(ToolResult(call.id, "done") for call in first.tool_calls))
    second = await player.generate(HI.extended(first.message, results))
    assert [call.id for call in second.tool_calls] == ["call_3", "call_4"]


async def test_arguments_that_are_no_json_arrive_raw_as_from_a_cut_answer() -> None:
    entry: JSON = {"tool_calls": [{"name": "a", "arguments": '{"city": "Ro'}], "finish": "length"}
    answer = await client(entry).generate(HI)
    assert answer.tool_calls == (ToolCall("call_1", "a", None, '{"city": "Ro'),)
    assert answer.finish == "length"


async def test_an_empty_answer_is_an_answer() -> None:
    player = client({"text": ""}, {"text": ""})
    assert (await player.generate(HI)).text == ""
    assert (await streamed(player))[-1] == Finished("stop")


async def test_usage_is_estimated_from_bytes_and_says_so() -> None:
    tool = Tool("t", "does", {"type": "object"})
    request = LLMRequest(
        (
            Message.user("ä" * 4, Image(url="https://example.com/a.png")),
            Message.assistant(tool_calls=[ToolCall("1", "t", FrozenDict({"a": 1}))], reasoning=[Reasoning("hmhm")]),
            Message.tool(ToolResult("1", {"b": 2}), ToolResult("2", "four")),
        ),
        tools=(tool,),
        output=OutputSpec({"type": "object"}),
    )
    sizes = [8, len('t{"a":1}'), 4, len('{"b":2}'), 4, len('tdoes{"type":"object"}'), len('{"type":"object"}')]
    usage = usage_of(Reply("12345", reasoning="1234"), request)
    assert usage == Usage(-(-sum(sizes) // 4), 3, reasoning_tokens=1, estimated=True)


async def test_a_reply_without_usage_says_nothing_about_it_when_told_so() -> None:
    stream = ReplyStream(lambda _: Reply("hi", usage=NO_USAGE), HI, CONFIG, SystemClock())
    async with stream as opened:
        assert [type(event) for event in [e async for e in opened]] == [TextDelta, Finished]
        assert not opened.response.usage.known


async def test_lone_surrogates_do_not_break_the_estimate() -> None:
    assert usage_of(Reply("\ud800"), LLMRequest.of("\udfff")).output_tokens == 1


async def test_a_free_target_costs_nothing() -> None:
    config = replace(CONFIG, free=True, options={"script": [{"text": "hi"}]})
    assert (await MockClient(config, SystemClock()).generate(HI)).cost == Cost(0)


async def test_an_error_entry_is_raised_as_the_table_says() -> None:
    entry: JSON = {"error": "throttled", "retry_after": 2, "status": 429, "message": "slow down"}
    player = client(entry, entry)
    with pytest.raises(LLMRateLimitError, match="slow down") as raised:
        await player.generate(HI)
    error = raised.value
    assert (error.retry_after, error.status, error.provider, error.model) == (2, 429, "rehearsal", "m1")
    with pytest.raises(LLMRateLimitError):
        async with player.stream(HI):
            pytest.fail("entered although the error comes first")


async def test_an_error_without_a_message_names_its_reason() -> None:
    with pytest.raises(LLMError, match="scripted failure: overloaded"):
        await client({"error": "overloaded"}).generate(HI)


def test_a_failure_of_an_unknown_reason_is_refused() -> None:
    with pytest.raises(LLMValidationError, match="'nonsense' is no reason"):
        Failure("nonsense")


@pytest.mark.parametrize("count", range(30))
async def test_a_cut_stream_is_interrupted_with_exactly_what_was_delivered(count: int) -> None:
    entry: JSON = {
        "reasoning": "Hm.",
        "text": "Two words",
        "tool_calls": [{"name": "a", "arguments": {"b": 1}}, {"name": "c"}],
        "cut_after": count,
    }
    events: list[StreamEvent] = []
    with pytest.raises(StreamInterruptedError, match="the scripted connection broke") as raised:
        await heard_into(events, client(entry))
    said = "".join(
        event.arguments if isinstance(event, ToolCallDelta) else event.text
        for event in events
        if isinstance(event, ToolCallDelta | TextDelta | ReasoningDelta)
    )
    assert said == 'Hm.Two words{"b":1}{}'[:count]
    error = raised.value
    assert error.partial_text == "".join(event.text for event in events if isinstance(event, TextDelta))
    assert error.phase == ("stream_after_token" if count else "stream_before_token")
    assert len(error.partial_tool_calls) == (count > 12) + (count > 19)
    assert not any(isinstance(event, Finished) for event in events)


async def test_a_stream_cut_before_the_first_token_fails_on_entering() -> None:
    with pytest.raises(StreamInterruptedError):
        async with client({"text": "hi", "cut_after": 0}).stream(HI):
            pytest.fail("entered without a first token")


async def test_a_cut_whole_answer_is_a_broken_connection() -> None:
    with pytest.raises(LLMNetworkError) as raised:
        await client({"text": "hello", "cut_after": 3}).generate(HI)
    assert (raised.value.reason, raised.value.phase) == ("reset", "body")


async def test_a_delay_is_waited_for_on_the_clock_before_the_first_token() -> None:
    clock = FakeClock()
    player = client({"text": "late", "delay_s": 5}, clock=clock)
    task = asyncio.ensure_future(player.generate(HI))
    await clock.advance(4.9)
    assert not task.done()
    await clock.advance(0.1)
    assert (await task).text == "late"


async def test_a_stream_is_entered_only_after_its_delay() -> None:
    clock = FakeClock()
    task = asyncio.ensure_future(streamed(client({"text": "late", "delay_s": 5}, clock=clock)))
    await clock.advance(4.9)
    assert not task.done()
    await clock.advance(0.1)
    assert (await task)[0] == TextDelta("late")


@pytest.mark.parametrize("delay", [10.0, 60.0])
async def test_a_delay_up_to_the_bound_or_longer_ends_at_the_bound_with_its_reason(delay: float) -> None:
    clock = FakeClock(100.0)
    entry: JSON = {"text": "late", "delay_s": delay}
    player = client(entry, entry, clock=clock)
    attempt = replace(HI, bound=Bound(110.0, "attempt"))
    deadline = replace(HI, bound=Bound(110.0, "deadline"))
    tasks = [asyncio.ensure_future(player.generate(attempt)), asyncio.ensure_future(streamed(player, deadline))]
    await clock.advance(10)
    first, second = await asyncio.gather(*tasks, return_exceptions=True)
    assert clock.now() == 110.0
    assert isinstance(first, LLMTimeoutError)
    assert isinstance(second, LLMTimeoutError)
    assert (first.reason, second.reason) == ("attempt", "deadline")


async def test_a_bound_in_the_past_fails_at_once() -> None:
    clock = FakeClock(100.0)
    with pytest.raises(LLMTimeoutError):
        await client({"text": "hi"}, clock=clock).generate(replace(HI, bound=Bound(99.0)))


async def test_a_delay_shorter_than_the_bound_is_no_failure() -> None:
    clock = FakeClock()
    task = asyncio.ensure_future(
        client({"text": "ok", "delay_s": 1}, clock=clock).generate(replace(HI, bound=Bound(2)))
    )
    await clock.advance(1)
    assert (await task).text == "ok"


async def test_a_reader_slower_than_the_bound_is_interrupted_with_what_it_got() -> None:
    clock = FakeClock()
    async with client({"text": "one two three"}, clock=clock).stream(replace(HI, bound=Bound(10.0))) as stream:
        events = aiter(stream)
        assert await anext(events) == TextDelta("one ")
        clock.move(10)
        with pytest.raises(StreamInterruptedError) as raised:
            await anext(events)
    assert (raised.value.reason, raised.value.partial_text) == ("deadline", "one ")


async def test_a_stream_that_was_left_early_is_not_read_on() -> None:
    async with client({"text": "one two three"}).stream(HI) as stream:
        events = aiter(stream)
        await anext(events)
    with pytest.raises(StreamInterruptedError, match="left before its end") as raised:
        await anext(events)
    assert raised.value.partial_text == "one "
    with pytest.raises(StreamInterruptedError):
        _ = stream.response


async def test_a_finished_stream_stays_finished() -> None:
    async with client({"text": "one"}).stream(HI) as stream:
        events = [event async for event in stream]
        assert [event async for event in stream] == []
    assert events[-1] == Finished("stop")
    assert stream.response.text == "one"


async def test_a_long_stream_lets_other_tasks_run() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    await streamed(client({"text": "word " * 1000}))
    task.cancel()
    assert turns > 10


async def test_cancelling_a_delayed_call_is_not_an_error_of_the_model() -> None:
    clock = FakeClock()
    task = asyncio.ensure_future(client({"text": "late", "delay_s": 5}, clock=clock).generate(HI))
    await clock.advance(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock.waiting == 0


def test_threads_and_loops_share_one_script_without_losing_an_entry() -> None:
    player = client(*({"text": str(number)} for number in range(200)))
    heard: list[str] = []

    def work() -> None:
        async def ask() -> None:
            for _ in range(50):
                answer = await player.generate(HI)
                heard.append(answer.text)

        asyncio.run(ask())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, heard)) == list(range(200))


def test_a_client_says_who_it_is() -> None:
    assert repr(client({"text": "x"})) == "MockClient(rehearsal/m1)"


def test_a_script_with_problems_is_refused_with_all_of_them() -> None:
    with pytest.raises(ConfigRejectedError, match=r"script\.0\.txet unknown key.*and 2 more problems") as raised:
        client({"txet": "x"}, {"error": "nonsense"})
    assert [problem.path for problem in raised.value.problems] == ["script.0.txet", "script.0", "script.1.error"]
    assert "did you mean `text`?" in raised.value.explain()


def test_a_client_without_a_script_is_refused() -> None:
    with pytest.raises(ConfigError, match="script must be a list of at least one entry"):
        MockClient(CONFIG, SystemClock())


KEYS = st.sampled_from(
    [
        "text",
        "tool_calls",
        "error",
        "reasoning",
        "finish",
        "usage",
        "cut_after",
        "delay_s",
        "repeat",
        "name",
        "arguments",
        "id",
        "message",
        "status",
    ]
)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(JSONS | st.lists(st.dictionaries(KEYS, JSONS, max_size=5), max_size=3))
def test_any_json_gets_remarks_or_plays_but_never_explodes(script: JSON) -> None:
    config = replace(CONFIG, options={"script": script})
    if list(check_script(script)):
        with pytest.raises(ConfigRejectedError):
            MockClient(config, SystemClock())
    else:
        MockClient(config, SystemClock())


@given(st.text())
def test_pieces_lose_no_character_and_stay_small(text: str) -> None:
    parts = list(pieces(text))
    assert "".join(parts) == text
    assert all(part.isspace() or len(part) <= 25 for part in parts)


@given(st.text(), st.text(), st.sampled_from([None, "stop", "length", "content_filter"]))
async def test_whatever_is_said_is_what_is_heard(text: str, thought: str, finish: Finish | None) -> None:
    reply = Reply(text, reasoning=thought, finish=finish)
    whole = await played(reply, HI, CONFIG, SystemClock())
    async with ReplyStream(lambda _: reply, HI, CONFIG, SystemClock()) as stream:
        heard = [event async for event in stream]
    assert "".join(event.text for event in heard if isinstance(event, TextDelta)) == whole.text == text
    assert "".join(item.text for item in whole.reasoning) == thought
    assert whole.finish == (finish or "stop")
    assert stream.response == whole


async def test_a_cut_stream_tells_the_layers_that_it_failed() -> None:
    async with client({"text": "Two words", "cut_after": 4}).stream(HI) as stream:
        with pytest.raises(StreamInterruptedError) as raised:
            _ = [event async for event in stream]
        assert stream.error is raised.value
