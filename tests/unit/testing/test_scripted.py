from __future__ import annotations

import asyncio

import pytest

from loomwire.domain.errors import LLMError, LLMRateLimitError, StreamInterruptedError
from loomwire.domain.events import Finished, StreamEvent, TextDelta
from loomwire.domain.messages import Reasoning
from loomwire.domain.pricing import Cost, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import ToolCall
from loomwire.testing import Failure, FakeClock, Reply, ScriptedClient

HI = LLMRequest.of("Hi")


async def streamed(client: ScriptedClient, request: LLMRequest = HI) -> list[StreamEvent]:
    """Return all events of one stream."""
    async with client.stream(request) as stream:
        return [event async for event in stream]


async def test_texts_replies_and_answers_are_said_in_order() -> None:
    answer = LLMResponse("three", "three", "other", "m9", cached=True, cost=Cost(5), request_id="r1")
    client = ScriptedClient("one", Reply("two", tool_calls=(ToolCall("", "t", {}),)), answer)
    assert (await client.generate(HI)).text == "one"
    assert (await client.generate(HI)).tool_calls == (ToolCall("call_1", "t", {}),)
    assert await client.generate(HI) is answer
    assert client.remaining == 0


async def test_answers_name_the_client() -> None:
    client = ScriptedClient("one", name="openai", model="gpt")
    answer = await client.generate(HI)
    assert (answer.provider, answer.model) == ("openai", "gpt")
    assert repr(client) == "ScriptedClient(openai/gpt)"


async def test_every_request_is_recorded_in_order() -> None:
    client = ScriptedClient("one", then="more")
    second = LLMRequest.of("Second")
    await client.generate(HI)
    async with client.stream(second):
        pass
    assert client.requests == (HI, second)


async def test_an_error_is_raised_as_a_fresh_copy_that_names_the_client() -> None:
    error = LLMRateLimitError("slow down", retry_after=2.0)
    client = ScriptedClient(then=error)
    with pytest.raises(LLMRateLimitError, match="slow down") as first:
        await client.generate(HI)
    first.value.with_step(Step("retry"))
    with pytest.raises(LLMRateLimitError) as second:
        await streamed(client)
    assert second.value.steps == error.steps == ()
    assert (second.value.provider, second.value.retry_after, error.provider) == ("scripted", 2.0, None)


async def test_foreign_errors_are_raised_as_they_are() -> None:
    bug = RuntimeError("bug")
    client = ScriptedClient(bug, asyncio.CancelledError())
    with pytest.raises(RuntimeError) as raised:
        await client.generate(HI)
    assert raised.value is bug
    with pytest.raises(asyncio.CancelledError):
        await client.generate(HI)


async def test_callables_are_asked_with_the_request_and_may_wait() -> None:
    gate = asyncio.Event()

    async def late(request: LLMRequest) -> str:
        await gate.wait()
        return request.messages[-1].text.upper()

    client = ScriptedClient(lambda request: request.messages[0].text * 2, late, late)
    assert (await client.generate(HI)).text == "HiHi"
    whole, stream = asyncio.ensure_future(client.generate(HI)), asyncio.ensure_future(streamed(client))
    await asyncio.sleep(0)
    assert not whole.done()
    gate.set()
    assert (await whole).text == "HI"
    assert (await stream)[0] == TextDelta("HI")


async def test_a_callable_may_give_an_error() -> None:
    client = ScriptedClient(lambda _: LLMError("no"))
    with pytest.raises(LLMError, match="no"):
        await client.generate(HI)


async def test_more_calls_than_replies_fail_the_test_and_not_the_provider() -> None:
    client = ScriptedClient("one")
    await client.generate(HI)
    with pytest.raises(AssertionError, match=r"ScriptedClient\(scripted/scripted\) has no reply left for call 2"):
        await client.generate(HI)


async def test_then_answers_for_ever() -> None:
    client = ScriptedClient("one", then="more")
    assert [(await client.generate(HI)).text for _ in range(3)] == ["one", "more", "more"]


async def test_replies_can_be_added_later() -> None:
    client = ScriptedClient()
    client.add("one", "two")
    assert client.remaining == 2
    assert (await client.generate(HI)).text == "one"


async def test_a_stream_takes_its_reply_when_it_is_entered() -> None:
    client = ScriptedClient("one")
    client.stream(HI)
    assert (client.remaining, client.requests) == (1, ())
    assert await streamed(client) == [TextDelta("one"), *(await streamed_usage("one")), Finished("stop")]


async def streamed_usage(text: str) -> list[StreamEvent]:
    """Return the usage event of a text."""
    return (await streamed(ScriptedClient(text)))[1:2]


async def test_a_stream_of_a_whole_answer_ends_in_that_very_answer() -> None:
    answer = LLMResponse(
        "two words",
        "two words",
        "other",
        "m9",
        tool_calls=(ToolCall("c1", "t", {"a": 1}),),
        reasoning=(Reasoning("hm"),),
        finish="length",
        usage=Usage(1, 2),
        request_id="r1",
    )
    async with ScriptedClient(answer).stream(HI) as stream:
        with pytest.raises(StreamInterruptedError, match="not been read to its end"):
            _ = stream.response
        events = [event async for event in stream]
        assert stream.response is answer
    assert events[-1] == Finished("length")
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["two ", "words"]


async def test_a_cut_reply_breaks_after_exactly_so_much() -> None:
    with pytest.raises(StreamInterruptedError) as raised:
        await streamed(ScriptedClient(Reply("two words", cut_after=5)))
    assert raised.value.partial_text == "two w"


async def test_a_failure_may_come_late() -> None:
    clock = FakeClock()
    client = ScriptedClient(Reply(failure=Failure("overloaded"), delay_s=2), clock=clock)
    task = asyncio.ensure_future(client.generate(HI))
    await clock.advance(1)
    assert not task.done()
    await clock.advance(1)
    with pytest.raises(LLMError) as raised:
        await task
    assert raised.value.reason == "overloaded"


async def test_open_streams_are_counted_until_they_are_left() -> None:
    client = ScriptedClient("one", "two")
    async with client.stream(HI):
        assert client.open_streams == 1
        async with client.stream(HI):
            assert client.open_streams == 2
    assert client.open_streams == 0


async def test_a_stream_that_failed_on_entering_is_not_open() -> None:
    client = ScriptedClient(Reply(failure=Failure("dns")), LLMError("no"))
    for _ in range(2):
        with pytest.raises(LLMError):
            await streamed(client)
    assert client.open_streams == 0


async def test_leaving_a_stream_that_was_never_entered_is_harmless() -> None:
    client = ScriptedClient("one")
    await client.stream(HI).__aexit__(None, None, None)
    assert client.open_streams == 0
