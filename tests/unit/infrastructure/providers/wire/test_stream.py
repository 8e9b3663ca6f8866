"""One stream over a real socket: it begins when something can be seen, ends in exactly one way, and leaks nothing."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, LLMProtocolError, LLMTimeoutError, StreamInterruptedError
from loomwire.domain.events import Finished, StreamEvent, TextDelta, ToolCallEnd, ToolCallStart, UsageUpdate
from loomwire.domain.faults import FAULTS, ErrorCategory
from loomwire.domain.policies import TimeoutPolicy, WireLimits
from loomwire.domain.ports.client import LLMStream
from loomwire.domain.pricing import Usage
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON, Secret, ToolCall
from loomwire.infrastructure.providers.openai_chat.chat import OpenAIChat
from loomwire.infrastructure.providers.wire.client import WireClient
from loomwire.infrastructure.providers.wire.stream import DRAIN_BYTES
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import Exchange, Play, WireServer

HI = LLMRequest.of("Hi")
CONFIG = LLMConfig.custom("m", name="vendor", base_url="http://127.0.0.1:1/v1", allow_private=True)
DONE = b"data: [DONE]\n\n"


def sse(delta: JSON, finish: str | None = None, **fields: JSON) -> bytes:
    """Return one chunk as an event."""
    return (
        b"data: %b\n\n"
        % json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **fields}).encode()
    )


USAGE = sse(None, None, usage={"prompt_tokens": 3, "completion_tokens": 2})
HEL, LO, STOP = sse({"content": "Hel"}), sse({"content": "lo"}), sse({}, "stop")


def playing(*parts: bytes, hold: bool = False, reset: bool = False, pause_s: float = 0.0) -> Play:
    """Return a script that sends parts as chunks, then ends properly, holds, or breaks."""

    async def play(exchange: Exchange) -> None:
        await exchange.start_chunks(X_Request_Id="r-1")
        for part in parts:
            await exchange.chunk(part)
            await asyncio.sleep(pause_s)
        if hold:
            await asyncio.Event().wait()
        elif reset:
            await asyncio.sleep(0.02)
            exchange.reset()
        else:
            await exchange.chunk(b"")

    return play


async def drain(stream: LLMStream, events: list[StreamEvent]) -> None:
    """Read a stream to its end; what came before an error is kept."""
    async for event in stream:
        events.append(event)  # noqa: PERF401


async def until(condition: Callable[[], object]) -> None:
    """Let others run until something holds that has no event of its own."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


@asynccontextmanager
async def talking(
    play: Play, config: LLMConfig = CONFIG
) -> AsyncIterator[tuple[WireClient, WireServer, ConnectionPool]]:
    """Run a server and a client of it; afterwards every lease must be back."""
    pool = ConnectionPool()
    async with WireServer(play) as server:
        target = replace(config, base_url=f"{server.base_url}/v1")
        yield WireClient(target, OpenAIChat(), pool, SystemClock(), endpoint="http://127.0.0.1"), server, pool
        assert (pool.get_stats().active, pool.get_stats().waiting) == (0, 0)
        await pool.aclose()


async def streamed(play: Play, config: LLMConfig = CONFIG) -> tuple[list[StreamEvent], LLMResponse[str]]:
    """Read a whole stream."""
    async with talking(play, config) as (client, _, _), client.stream(HI) as stream:
        events = [event async for event in stream]
        assert stream.error is None
        assert stream.finished
        return events, stream.response


async def refused(play: Play, config: LLMConfig = CONFIG, request: LLMRequest = HI) -> LLMError:
    """Return the error of entering a stream."""
    async with talking(play, config) as (client, _, _):
        with pytest.raises(LLMError) as caught:
            await client.stream(request).__aenter__()
    error = caught.value
    assert (error.provider, error.model) == ("vendor", "m")
    return error


async def broken(
    play: Play, config: LLMConfig = CONFIG, request: LLMRequest = HI
) -> tuple[list[StreamEvent], StreamInterruptedError]:
    """Return what a stream delivered before it broke, and the error; further reads must raise it again."""
    events: list[StreamEvent] = []
    async with talking(play, config) as (client, _, _), client.stream(request) as stream:
        with pytest.raises(StreamInterruptedError) as caught:
            await drain(stream, events)
        for _ in range(2):
            with pytest.raises(StreamInterruptedError) as again:
                await anext(aiter(stream))
            assert again.value is caught.value
        with pytest.raises(StreamInterruptedError):
            _ = stream.response
        assert stream.error is caught.value
        assert not stream.finished
    error = caught.value
    assert (error.provider, error.model, error.phase) == ("vendor", "m", "stream_after_token")
    assert not any(isinstance(event, Finished) for event in events)
    return events, error


async def test_a_stream_delivers_events_and_then_the_whole_answer() -> None:
    async with talking(playing(HEL, LO, STOP, USAGE, DONE)) as (client, server, _), client.stream(HI) as stream:
        events = [event async for event in stream]
        assert [event async for event in stream] == []
        response = stream.response
        assert stream.response is response
    assert events == [TextDelta("Hel"), TextDelta("lo"), UsageUpdate(Usage(3, 2)), Finished("stop")]
    assert (response.text, response.usage, response.request_id) == ("Hello", Usage(3, 2), "r-1")
    (seen,) = server.seen
    assert seen.header("accept") == "text/event-stream"
    assert json.loads(seen.body)["stream"] is True


async def test_events_come_as_they_are_sent_and_not_at_the_end() -> None:
    gate = asyncio.Event()

    async def play(exchange: Exchange) -> None:
        await exchange.start_chunks()
        await exchange.chunk(HEL)
        await gate.wait()
        await exchange.chunk(LO + STOP + DONE)
        await exchange.chunk(b"")

    async with talking(play) as (client, _, _), client.stream(HI) as stream:
        events = aiter(stream)
        assert await anext(events) == TextDelta("Hel")
        gate.set()
        assert [event async for event in events] == [TextDelta("lo"), Finished("stop")]


async def test_entering_waits_for_something_a_caller_can_see_and_keeps_the_order() -> None:
    role, usage = sse({"role": "assistant", "content": ""}), USAGE
    events, _ = await streamed(playing(b": ping\n\n", role, usage, usage, HEL + LO, STOP, DONE))
    assert events == [
        UsageUpdate(Usage(3, 2)),
        UsageUpdate(Usage(3, 2)),
        TextDelta("Hel"),
        TextDelta("lo"),
        Finished("stop"),
    ]


async def test_an_empty_answer_ends_while_entering() -> None:
    events, response = await streamed(playing(sse({"role": "assistant"}), STOP, DONE))
    assert (events, response.text) == ([Finished("stop")], "")


async def test_tool_calls_are_streamed_and_the_first_is_something_to_see() -> None:
    call: JSON = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    events, response = await streamed(playing(sse({"tool_calls": [call]}), sse({}, "tool_calls"), DONE))
    assert events[0] == ToolCallStart(0, "c", "f")
    assert events[-2:] == [ToolCallEnd(0, ToolCall("c", "f", {})), Finished("tool_calls")]
    assert response.tool_calls == (ToolCall("c", "f", {}),)


async def test_a_connection_is_used_again_after_a_stream_read_to_its_end() -> None:
    async with talking(playing(HEL, STOP, DONE)) as (client, server, pool):
        for _ in range(3):
            async with client.stream(HI) as stream:
                assert len([event async for event in stream]) == 2
                assert pool.get_stats().active == 0
        assert server.connections == 1


async def test_what_follows_the_done_marker_is_read_a_little_so_that_the_connection_lives() -> None:
    async with talking(playing(HEL, STOP + DONE, b": bye\n\n" * 100)) as (client, server, _):
        for _ in range(2):
            async with client.stream(HI) as stream:
                assert [event async for event in stream] == [TextDelta("Hel"), Finished("stop")]
        assert server.connections == 1


async def test_a_server_that_talks_on_after_the_done_marker_is_left() -> None:
    async with talking(playing(HEL, STOP, DONE, b": bye\n\n" * DRAIN_BYTES, hold=True)) as (client, server, _):
        async with client.stream(HI) as stream:
            assert [event async for event in stream] == [TextDelta("Hel"), Finished("stop")]
        async with client.stream(HI) as stream:
            assert (await anext(aiter(stream))) == TextDelta("Hel")
        assert server.connections == 2


async def test_a_server_that_holds_the_line_after_the_done_marker_is_left_after_half_a_second() -> None:
    async with talking(playing(HEL, STOP, DONE, hold=True)) as (client, _, _):
        started = time.monotonic()
        async with client.stream(HI) as stream:
            assert [event async for event in stream][-1] == Finished("stop")
        assert time.monotonic() - started < 2


async def test_leaving_early_closes_the_connection_at_once() -> None:
    async with talking(playing(HEL, LO, hold=True)) as (client, server, pool):
        async with client.stream(HI) as stream:
            assert await anext(aiter(stream)) == TextDelta("Hel")
            assert pool.get_stats().active == 1
        assert pool.get_stats().active == 0
        await until(lambda: not server.open)
        with pytest.raises(StreamInterruptedError, match="left before its end"):
            await drain(stream, [])


async def test_the_callers_own_error_closes_the_stream_and_passes_through() -> None:
    async with talking(playing(HEL, hold=True)) as (client, _, pool):
        with pytest.raises(KeyError):
            async with client.stream(HI):
                raise KeyError("mine")
        assert pool.get_stats().active == 0


async def test_cancelling_a_reader_gives_everything_back() -> None:
    async with talking(playing(HEL, hold=True)) as (client, _, pool):
        reading = asyncio.Event()

        async def read() -> None:
            async with client.stream(HI) as stream:
                async for _ in stream:
                    reading.set()

        task = asyncio.create_task(read())
        await reading.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.get_stats().active == 0


async def test_cancelling_while_entering_gives_everything_back() -> None:
    async with talking(playing(sse({"role": "assistant"}), hold=True)) as (client, server, pool):
        task = asyncio.create_task(client.stream(HI).__aenter__())
        await until(lambda: server.seen)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.get_stats().active == 0


async def test_a_stream_that_is_never_entered_sends_nothing() -> None:
    async with talking(playing(HEL)) as (client, server, _):
        stream = client.stream(HI)
        await stream.__aexit__(None, None, None)
        assert server.seen == []


@pytest.mark.parametrize("reset", [False, True])
async def test_a_stream_cut_before_the_first_token_is_an_error_of_entering(reset: bool) -> None:
    error = await refused(playing(sse({"role": "assistant"}), reset=reset))
    assert error.category is ErrorCategory.NETWORK
    assert (error.phase, error.retryable, error.request_id) == ("stream_before_token", True, "r-1")


@pytest.mark.parametrize("size", [1, 5, 6, 20, len(HEL) - 3])
async def test_a_stream_cut_inside_its_very_first_event_is_a_broken_connection_and_asked_again(size: int) -> None:
    error = await refused(playing(HEL[:size]))
    assert (error.reason, error.category) == ("eof", ErrorCategory.NETWORK)
    assert (error.phase, error.retryable, error.request_id) == ("stream_before_token", True, "r-1")


@pytest.mark.parametrize("reset", [False, True])
async def test_a_stream_cut_after_the_first_token_carries_exactly_what_came(reset: bool) -> None:
    call: JSON = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"x":'}}
    events, error = await broken(playing(HEL, USAGE, sse({"tool_calls": [call]}), reset=reset))
    assert events[:2] == [TextDelta("Hel"), UsageUpdate(Usage(3, 2))]
    assert (error.reason, error.category) == ("stream_interrupted", ErrorCategory.NETWORK)
    assert (error.partial_text, error.usage_so_far) == ("Hel", Usage(3, 2))
    assert error.partial_tool_calls == (ToolCall("c", "f", None, '{"x":'),)
    assert error.metadata["cause"] in ("stream_interrupted", "reset", "eof")
    assert error.endpoint is not None or not reset


@pytest.mark.parametrize("reset", [False, True])
async def test_after_a_finish_reason_nothing_is_missing_however_the_body_ends(reset: bool) -> None:
    events, response = await streamed(playing(HEL, LO, STOP, reset=reset))
    assert (events[-1], response.text, response.complete) == (Finished("stop"), "Hello", True)


async def test_a_nameless_call_is_found_out_even_when_the_body_breaks_after_its_finish_reason() -> None:
    call: JSON = {"index": 0, "id": "c", "function": {"arguments": "{}"}}
    _, error = await broken(playing(HEL, sse({"tool_calls": [call]}), sse({}, "tool_calls"), reset=True))
    assert (error.reason, error.metadata) == ("protocol", {"cause": "protocol"})


async def test_a_last_event_that_is_whole_but_not_closed_counts() -> None:
    for last in (STOP, DONE):
        events, _ = await streamed(playing(HEL, last.rstrip()))
        assert [type(event) for event in events] == [TextDelta, Finished]


async def test_a_lenient_target_accepts_an_end_without_a_sign_and_says_so() -> None:
    _, response = await streamed(playing(HEL, LO), replace(CONFIG, lenient_terminal=True))
    assert (response.text, response.complete) == ("Hello", False)


IMPATIENT = replace(CONFIG, timeouts=TimeoutPolicy(idle_s=0.05))


async def test_silence_before_the_first_token_is_a_timeout_of_entering() -> None:
    error = await refused(playing(sse({"role": "assistant"}), hold=True), IMPATIENT)
    assert isinstance(error, LLMTimeoutError)
    assert (error.reason, error.phase) == ("idle", "stream_before_token")


async def test_silence_after_the_first_token_keeps_its_reason_and_what_came() -> None:
    _, error = await broken(playing(HEL, hold=True), IMPATIENT)
    assert (error.reason, error.category, error.partial_text) == ("idle", ErrorCategory.TIMEOUT, "Hel")
    assert error.disposition.trips_breaker


async def test_a_deadline_inside_a_stream_keeps_its_reason_and_trips_no_breaker() -> None:
    request = HI.with_bound(Bound(time.monotonic() + 0.1))
    _, error = await broken(playing(HEL, hold=True), request=request)
    assert (error.reason, error.partial_text, error.metadata) == ("deadline", "Hel", {"cause": "deadline"})
    assert not error.disposition.trips_breaker
    assert not error.retryable


async def test_a_whole_call_has_no_limit_on_silence_of_its_own() -> None:
    async def play(exchange: Exchange) -> None:
        await asyncio.sleep(0.09)
        await exchange.answer(b'{"choices":[{"message":{"content":"late"}}]}')

    async with talking(play, IMPATIENT) as (client, _, _):
        assert (await client.generate(HI)).text == "late"


ERROR = b'data: {"error":{"message":"no","code":"rate_limit_exceeded"}}\n\n'


async def test_an_error_in_the_stream_before_the_first_token_is_the_plain_error() -> None:
    error = await refused(playing(sse({"role": "assistant"}), ERROR))
    assert (error.reason, error.retryable, error.phase) == ("throttled", True, "stream_before_token")
    assert not isinstance(error, StreamInterruptedError)


@pytest.mark.parametrize("together", [False, True])
async def test_an_error_in_the_stream_after_the_first_token_keeps_its_reason_and_what_came(together: bool) -> None:
    parts = (HEL + LO + ERROR,) if together else (HEL, LO, ERROR)
    events, error = await broken(playing(*parts))
    assert events == [TextDelta("Hel"), TextDelta("lo")]
    assert (error.reason, error.category, error.partial_text) == ("throttled", ErrorCategory.RATE_LIMIT, "Hello")
    assert (error.provider_code, error.provider_message, error.request_id) == ("rate_limit_exceeded", "no", "r-1")
    assert error.metadata == {"cause": "throttled"}


async def test_an_error_after_the_finish_reason_is_still_an_error() -> None:
    _, error = await broken(playing(HEL, STOP, ERROR))
    assert error.reason == "throttled"


@pytest.mark.parametrize(
    "bare", [b'{"error":{"message":"no","code":503}}', b'{"error":\n{"message":"no","code":503}}\n']
)
async def test_an_error_written_bare_into_a_stream_is_found(bare: bytes) -> None:
    assert (await refused(playing(bare))).reason == "overloaded"
    _, error = await broken(playing(HEL, bare))
    assert (error.reason, error.partial_text) == ("overloaded", "Hel")


@pytest.mark.parametrize("bare", [b"{}", b'{"more": 1}', b'{"error": null}\n', b'[{"more": 1}]'])
async def test_what_stands_bare_in_a_stream_and_is_no_error_is_not_called_the_providers(bare: bytes) -> None:
    assert (await refused(playing(bare))).reason == "protocol"
    _, error = await broken(playing(HEL, bare))
    assert error.metadata == {"cause": "protocol"}


async def test_a_whole_answer_labelled_as_a_stream_is_taken_as_an_answer() -> None:
    body = b'{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}'
    events, response = await streamed(playing(body))
    assert (events, response.text) == ([TextDelta("Hello"), Finished("stop")], "Hello")


async def test_text_that_is_no_event_at_all_is_no_answer() -> None:
    error = await refused(playing(b"Hello\n\nthere\n\n"))
    assert error.reason == "protocol"


BROKEN = b'data: {"choices":[{"delta":{"content":"canary-key-0123456789"}\n\n'
FAILED = b'data: {"error":{"message":"Dear canary, sing of yellow mines! canary-key-0123456789","code":500}}\n\n'
KINDS = {
    "reset": (playing(HEL, reset=True), "reset"),
    "a clean cut": (playing(HEL), "stream_interrupted"),
    "an error of the provider": (playing(HEL, FAILED), "server"),
    "an error event": (playing(HEL, b"event: error\n" + FAILED), "server"),
    "broken JSON": (playing(HEL, BROKEN), "protocol"),
    "too large": (playing(HEL, b"data: " + b"x" * 70_000, pause_s=0.03), "too_large"),
    "silence": (playing(HEL, hold=True), "idle"),
    "the bound": (playing(HEL, hold=True), "attempt"),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_after_the_first_token_nobody_may_send_again_and_the_target_failed_all_the_same(kind: str) -> None:
    play, cause = KINDS[kind]
    config = replace(
        CONFIG,
        keys=(Secret("canary-key-0123456789"),),
        limits=WireLimits(event=64 * 1024),
        timeouts=TimeoutPolicy(idle_s=0.09 if cause == "idle" else 5.0),
    )
    request = LLMRequest.of("Dear canary, sing of yellow mines!")
    if cause == "attempt":
        request = request.with_bound(Bound(time.monotonic() + 0.15, "attempt"))
    _, error = await broken(play, config, request)
    assert error.metadata["cause"] == cause
    assert error.endpoint is not None
    may = error.disposition
    assert (may.retry_same, may.retry_limit, may.falls_back, may.fallback) == (False, None, False, "no")
    assert may.trips_breaker is FAULTS[cause].disposition.trips_breaker is True
    for shown in (error, error.__context__):
        frames = [frame for frame, _ in traceback.walk_tb(shown.__traceback__ if shown else None)]
        ours = [frame for frame in frames if frame.f_globals["__name__"].startswith("loomwire.")]
        assert "canary-key" not in "".join(repr(frame.f_locals) for frame in ours)
    assert "canary" not in f"{error} {error.to_dict()}"


async def test_the_model_of_an_interruption_is_the_configured_one_whatever_the_server_says() -> None:
    _, error = await broken(playing(sse({"content": "x"}, model="evil")))
    assert error.model == "m"


@pytest.mark.parametrize("data", [b"data: nonsense\n\n", b"data: null\n\n", b'data: {"choices":5}\n\n', DONE])
async def test_events_that_hold_no_answer_are_protocol_errors(data: bytes) -> None:
    error = await refused(playing(data))
    assert isinstance(error, LLMProtocolError)
    _, interruption = await broken(playing(HEL, b"data: nonsense\n\n"))
    assert interruption.reason == "protocol"


async def test_an_event_larger_than_allowed_is_an_error() -> None:
    small = replace(CONFIG, limits=WireLimits(event=2000))
    assert (await refused(playing(b"data: " + b"x" * 5000), small)).reason == "too_large"
    for parts in ([HEL, b"data: " + b"x" * 5000], [HEL + b"data: " + b"x" * 5000]):
        _, error = await broken(playing(*parts), small)
        assert (error.reason, error.partial_text) == ("too_large", "Hel")
    _, response = await streamed(playing(HEL + STOP + b"data: " + b"x" * 5000), small)
    assert (response.text, response.complete) == ("Hel", True)


async def test_a_server_that_does_not_stream_is_accepted_with_one_burst() -> None:
    async def play(exchange: Exchange) -> None:
        message = {"content": "Hello", "reasoning": "Hm.", "tool_calls": [{"id": "c", "function": {"name": "f"}}]}
        answer = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}
        await exchange.answer(json.dumps(answer).encode())

    events, response = await streamed(play)
    assert [type(event).__name__ for event in events] == [
        "ReasoningDelta",
        "TextDelta",
        "ToolCallStart",
        "UsageUpdate",
        "ToolCallEnd",
        "Finished",
    ]
    assert (response.text, response.finish) == ("Hello", "tool_calls")


@pytest.mark.parametrize(
    ("body", "status", "content_type", "reason"),
    [
        (b'{"error":{"message":"no","code":"insufficient_quota"}}', 200, "application/json", "quota_exhausted"),
        (b'{"error":{"message":"no"}}', 401, "application/json", "credentials"),
        (b"{}", 200, "application/json", "protocol"),
        (b"<html>Hi</html>", 200, "text/html", "protocol"),
        (b"<html>Hi</html>", 200, "", "protocol"),
        (b"<html>Hi</html>", 200, "text/event-stream", "protocol"),
        (b"", 307, "text/html", "redirect"),
        (b"<html>Hi</html>", 502, "text/html", "server"),
    ],
)
async def test_what_is_no_stream_is_an_error_of_entering(
    body: bytes, status: int, content_type: str, reason: str
) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.answer(body, status, Content_Type=content_type)

    assert (await refused(play)).reason == reason


async def test_a_connection_that_breaks_before_the_headers_is_an_error_of_entering() -> None:
    async def play(exchange: Exchange) -> None:
        exchange.reset()

    assert (await refused(play)).category is ErrorCategory.NETWORK


async def test_a_request_that_cannot_be_written_takes_no_connection() -> None:
    async with talking(playing(HEL)) as (client, server, pool):
        with pytest.raises(LLMError) as caught:
            await client.stream(LLMRequest.of("half \ud83d")).__aenter__()
        assert (caught.value.reason, caught.value.provider) == ("invalid_request", "vendor")
        assert (server.seen, pool.get_stats().total) == ([], 0)


async def test_many_streams_at_once_do_not_mix() -> None:
    async def play(exchange: Exchange) -> None:
        said = json.loads(exchange.body)["messages"][0]["content"]
        await exchange.start_chunks()
        for letter in said:
            await exchange.chunk(sse({"content": letter}))
            await asyncio.sleep(0)
        await exchange.chunk(STOP + DONE)
        await exchange.chunk(b"")

    async def read(client: WireClient, said: str) -> str:
        async with client.stream(LLMRequest.of(said)) as stream:
            async for _ in stream:
                pass
            return stream.response.text

    words: Sequence[str] = [f"word number {number}" for number in range(30)]
    async with talking(play) as (client, _, _):
        assert await asyncio.gather(*(read(client, word) for word in words)) == words


@pytest.mark.parametrize("end", [b"", b"dada: x\n\n"], ids=["cut", "noise"])
async def test_an_interruption_has_no_context_whose_frames_would_hold_the_answer(end: bytes) -> None:
    async with talking(playing(HEL, end or b": \n\n")) as (client, _, _), client.stream(HI) as stream:
        with pytest.raises(StreamInterruptedError) as caught:
            await drain(stream, [])
    assert caught.value.__context__ is None
