"""Claims about streams."""

from __future__ import annotations

import asyncio

from loomwire.domain.errors import LLMError, StreamInterruptedError
from loomwire.domain.events import Finished, StreamEvent, TextDelta
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.responses import LLMResponse
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.contracts.client_claims.harness import ANSWER, LONG, ClientHarness, streamed, text_of
from loomwire.testing.contracts.contract import SeenError, claim, expect, needs, raised, same, turns


class StreamClaims(ClientHarness):
    """What `stream` delivers, and how it ends."""

    @claim
    async def test_a_stream_ends_with_finished(self) -> None:
        """A stream delivers the text in pieces and ends with exactly one `Finished`, the last event."""
        async with self.client_answering(Reply(ANSWER)) as client, client.stream(self.request()) as stream:
            events = [event async for event in stream]
            expect(stream.finished, "`finished` is False after the last event")
            same(stream.error, None, "`error` of a whole stream")
            finish = stream.response.finish
        same(text_of(events), ANSWER, "the streamed text")
        ends = [event for event in events if isinstance(event, Finished)]
        expect(ends and events[-1] is ends[0] and len(ends) == 1, f"the events end with {events[-2:]!r}")
        same(ends[0].finish, finish, "what Finished says")

    @claim
    async def test_the_response_of_a_stream_is_what_generate_returns(self) -> None:
        """Once `Finished` was delivered, `response` says what `generate` would have returned."""
        async with self.client_answering(Reply(ANSWER)) as client:
            whole = await client.generate(self.request())
            async with client.stream(self.request()) as stream:
                async for _ in stream:
                    pass
                told = stream.response
            later = stream.response
        same(_facts(told), _facts(whole), "the streamed answer")
        same(_facts(later), _facts(whole), "the answer after the stream was left")

    @claim
    async def test_an_empty_answer_is_an_answer(self) -> None:
        """An answer without text is an answer: `Finished` alone ends its stream."""
        async with self.client_answering(Reply("")) as client:
            same((await client.generate(self.request())).text, "", "the text")
            events = await streamed(client, self.request())
        same(text_of(events), "", "the streamed text")
        expect(events and isinstance(events[-1], Finished), f"the events are {events!r}")

    @claim
    @needs("plays_failures")
    async def test_entering_is_the_commit_point(self) -> None:
        """A failure before the first event is raised on entering, so that a layer above may still send again."""
        async with self.client_answering(Reply(failure=Failure("server", status=500))) as client:
            scope = client.stream(self.request())
            try:
                await scope.__aenter__()
            except LLMError:
                same(self.in_use(client), 0, "what is in use after entering failed")
                return
            await scope.__aexit__(None, None, None)
        raise SeenError("entering succeeded and left the failure to the reader")

    @claim
    @needs("plays_in_order")
    async def test_a_stream_that_is_not_entered_asks_nothing(self) -> None:
        """Calling `stream` sends nothing: entering does."""
        async with self.client_answering(Reply("first"), Reply("second")) as client:
            _ = client.stream(self.request())
            await turns(5)
            same((await client.generate(self.request())).text, "first", "the first answer")

    @claim
    async def test_an_unfinished_stream_has_no_response(self) -> None:
        """While more is to come, `response` raises StreamInterruptedError with what was delivered so far."""
        async with self.client_answering(Reply(LONG)) as client, client.stream(self.request()) as stream:
            expect(not stream.finished, "`finished` is True before anything was read")
            read = await _first_text(stream)
            partial = _interruption(stream).partial_text
            expect(read and partial.startswith(read), f"{read!r} was delivered, and the partial text is {partial!r}")
            expect(len(partial) < len(LONG), "the partial text is the whole answer")
            expect(not stream.finished, "`finished` is True before the last event")

    @claim
    @needs("plays_breaks")
    async def test_a_broken_stream_is_interrupted_and_keeps_what_it_delivered(self) -> None:
        """A stream that breaks raises StreamInterruptedError with the text so far, and keeps it as its `error`."""
        events: list[StreamEvent] = []
        async with self.client_answering(Reply(ANSWER, cut_after=20)) as client:
            async with client.stream(self.request()) as stream:
                error = await raised(StreamInterruptedError, _read(stream, events))
                same(text_of(events), ANSWER[:20], "the delivered text")
                same(error.partial_text, ANSWER[:20], "the partial text")
                expect(stream.error is error, f"the stream's `error` is {stream.error!r}")
                same(_interruption(stream).partial_text, ANSWER[:20], "the partial text of `response`")
                expect(not stream.finished, "`finished` is True")
            same(self.in_use(client), 0, "what is in use afterwards")
        expect(not any(isinstance(event, Finished) for event in events), "Finished was delivered")

    @claim
    @needs("plays_breaks")
    async def test_a_broken_answer_is_an_error(self) -> None:
        """`generate` never takes an answer that breaks for a whole one."""
        async with self.client_answering(Reply(ANSWER, cut_after=20)) as client:
            await raised(LLMError, client.generate(self.request()))
            same(self.in_use(client), 0, "what is in use afterwards")

    @claim
    async def test_the_readers_own_error_passes_through(self) -> None:
        """An error of the caller's own code inside the block leaves it unchanged, and everything is given back."""
        async with self.client_answering(Reply(ANSWER)) as client:
            mine = KeyError("the caller's own")
            caught = await raised(KeyError, _spoiled(client, self, mine))
            expect(caught is mine, f"{caught!r} left the block")
            same(self.in_use(client), 0, "what is in use afterwards")

    @claim
    async def test_two_streams_are_read_side_by_side(self) -> None:
        """One task may read two streams of one client side by side."""
        async with (
            self.client_answering(Reply(ANSWER)) as client,
            client.stream(self.request()) as one,
            client.stream(self.request()) as other,
        ):
            texts = await asyncio.gather(_read(one, []), _read(other, []))
            same(texts, [ANSWER, ANSWER], "what they said")


def _facts(answer: LLMResponse[str]) -> tuple[object, ...]:
    return (answer.text, answer.output, answer.finish, answer.provider, answer.model, answer.complete)


def _interruption(stream: LLMStream) -> StreamInterruptedError:
    try:
        answer = stream.response
    except StreamInterruptedError as error:
        return error
    raise SeenError(f"`response` is {answer!r} though the stream has not ended")


async def _first_text(stream: LLMStream) -> str:
    async for event in stream:
        if isinstance(event, TextDelta):
            return event.text
    return ""


async def _read(stream: LLMStream, events: list[StreamEvent]) -> str:
    async for event in stream:
        events.append(event)  # noqa: PERF401  # what came before an error is the point
    return text_of(events)


async def _spoiled(client: ILLMClient, suite: ClientHarness, mine: Exception) -> None:
    async with client.stream(suite.request()) as stream:
        async for _ in stream:
            raise mine
