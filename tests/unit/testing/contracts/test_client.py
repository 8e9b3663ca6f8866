"""The client's contract notices every broken promise: each claim fails for a client that breaks it, and says why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import ClassVar

import pytest
from typing_extensions import override

from loomwire.domain.errors import LLMError, LLMTemporaryError
from loomwire.domain.events import Finished, StreamEvent
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.pricing import NO_USAGE
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.testing import Reply, ScriptedClient
from loomwire.testing.contracts.client import ClientContract
from loomwire.testing.contracts.contract import Contract


class Wrapper(ILLMClient):
    """A client that keeps its promises; the others break one each."""

    def __init__(self, inner: ScriptedClient) -> None:
        self.inner = inner

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        return await self.inner.generate(request)

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return self.inner.stream(request)


class Told(LLMStream):
    """A stream that keeps its promises; the others break one each."""

    def __init__(self, inner: LLMStream) -> None:
        self.inner = inner

    @override
    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return self.inner.__aiter__()

    @property
    @override
    def response(self) -> LLMResponse[str]:
        return self.inner.response

    @property
    @override
    def error(self) -> LLMError | None:
        return self.inner.error


class Answers(Wrapper):
    """Spoils answers."""

    def spoiled(self, answer: LLMResponse[str]) -> LLMResponse[str]:
        return answer

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        return self.spoiled(await self.inner.generate(request))


class Streams(Wrapper):
    """Spoils streams."""

    def spoiled(self, stream: LLMStream) -> LLMStream:
        return stream

    @override
    @asynccontextmanager
    async def stream(self, request: LLMRequest) -> AsyncGenerator[LLMStream]:
        async with self.inner.stream(request) as stream:
            yield self.spoiled(stream)


class ShortText(Answers):
    @override
    def spoiled(self, answer: LLMResponse[str]) -> LLMResponse[str]:
        return replace(answer, text=answer.text[:-1])


class Anonymous(Answers):
    @override
    def spoiled(self, answer: LLMResponse[str]) -> LLMResponse[str]:
        return replace(answer, provider="")


class AlwaysStopped(Answers):
    @override
    def spoiled(self, answer: LLMResponse[str]) -> LLMResponse[str]:
        return replace(answer, finish="stop")


class InventsUsage(Answers):
    @override
    def spoiled(self, answer: LLMResponse[str]) -> LLMResponse[str]:
        return replace(answer, usage=replace(answer.usage, input_tokens=0))


class OneToolCall(Answers):
    @override
    def spoiled(self, answer: LLMResponse[str]) -> LLMResponse[str]:
        return replace(answer, tool_calls=answer.tool_calls[:1])


class ThinksAloud(Answers):
    @override
    def spoiled(self, answer: LLMResponse[str]) -> LLMResponse[str]:
        return replace(answer, text="".join(item.text for item in answer.reasoning) + answer.text)


class OtherModel(Answers):
    @override
    def spoiled(self, answer: LLMResponse[str]) -> LLMResponse[str]:
        return replace(answer, model="another")


class NothingIsAnError(Answers):
    @override
    def spoiled(self, answer: LLMResponse[str]) -> LLMResponse[str]:
        if not answer.text:
            raise LLMError("nothing was said")
        return answer


class ChangesTags(Wrapper):
    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        object.__setattr__(request, "tags", frozenset({"mine"}))
        return await self.inner.generate(request)


class FillsExtra(Wrapper):
    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        if isinstance(request.extra, dict):
            request.extra["stream"] = True
        return self.inner.stream(request)


class RaisesOfItsOwn(Wrapper):
    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        try:
            return await self.inner.generate(request)
        except LLMError as error:
            raise RuntimeError("the vendor failed") from error


class BlamesNobody(Wrapper):
    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        try:
            return await self.inner.generate(request)
        except LLMError as error:
            error.provider = None
            raise


class QuotesThePrompt(Wrapper):
    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        try:
            return await self.inner.generate(request)
        except LLMError as error:
            raise LLMError(f"failed at {request.messages[0].text}", reason=error.reason) from None


class HeldError(LLMError):
    """An error that other processes would get as another one."""

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return LLMError, ("something failed",)


class RaisesHeldErrors(Wrapper):
    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        raise HeldError("held", provider="p", model="m")


class NeverRecovers(Wrapper):
    failed = False

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        if self.failed:
            raise LLMTemporaryError("it failed before", provider="p", model="m")
        try:
            return await self.inner.generate(request)
        except LLMError:
            self.failed = True
            raise


class KnowsNoBound(Wrapper):
    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        return await self.inner.generate(replace(request, bound=None))


class Responses(Streams):
    """Spoils what a stream says at its end."""

    def ended(self, answer: LLMResponse[str]) -> LLMResponse[str]:
        return answer

    @override
    def spoiled(self, stream: LLMStream) -> LLMStream:
        ended = self.ended

        class Spoiled(Told):
            @property
            @override
            def response(self) -> LLMResponse[str]:
                return ended(self.inner.response)

        return Spoiled(stream)


class StreamsAreAlwaysWhole(Responses):
    @override
    def ended(self, answer: LLMResponse[str]) -> LLMResponse[str]:
        return replace(answer, finish="stop")


class StreamsCostNothing(Responses):
    @override
    def ended(self, answer: LLMResponse[str]) -> LLMResponse[str]:
        return replace(answer, usage=NO_USAGE)


class StreamsLoseCalls(Responses):
    @override
    def ended(self, answer: LLMResponse[str]) -> LLMResponse[str]:
        return replace(answer, tool_calls=())


class StreamsForgetThoughts(Responses):
    @override
    def ended(self, answer: LLMResponse[str]) -> LLMResponse[str]:
        return replace(answer, reasoning=())


class NeverEnds(Streams):
    @override
    def spoiled(self, stream: LLMStream) -> LLMStream:
        class Endless(Told):
            @override
            async def __aiter__(self) -> AsyncIterator[StreamEvent]:
                async for event in self.inner:
                    if not isinstance(event, Finished):
                        yield event

        return Endless(stream)


class EndsTwice(Streams):
    @override
    def spoiled(self, stream: LLMStream) -> LLMStream:
        class Twice(Told):
            @override
            async def __aiter__(self) -> AsyncIterator[StreamEvent]:
                async for event in self.inner:
                    yield event
                yield Finished("stop")

        return Twice(stream)


class QuietlyCut(Streams):
    @override
    def spoiled(self, stream: LLMStream) -> LLMStream:
        class Quiet(Told):
            @override
            async def __aiter__(self) -> AsyncIterator[StreamEvent]:
                try:
                    async for event in self.inner:
                        yield event
                except LLMError:
                    return

        return Quiet(stream)


class ForgetsItsError(Streams):
    @override
    def spoiled(self, stream: LLMStream) -> LLMStream:
        class Forgetful(Told):
            @property
            @override
            def error(self) -> LLMError | None:
                return None

        return Forgetful(stream)


class AnswersEarly(Streams):
    @override
    def spoiled(self, stream: LLMStream) -> LLMStream:
        class Early(Told):
            @property
            @override
            def response(self) -> LLMResponse[str]:
                return LLMResponse("so far", "so far", "p", "m")

        return Early(stream)


class CutIsAnAnswer(Wrapper):
    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        try:
            return await self.inner.generate(request)
        except LLMError:
            return LLMResponse("what there was", "what there was", "p", "m", finish="stop")


class EntersLate(Wrapper):
    @override
    @asynccontextmanager
    async def stream(self, request: LLMRequest) -> AsyncGenerator[LLMStream]:
        yield Told(LateStream())


class LateStream(LLMStream):
    @override
    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        if not self.finished:
            raise LLMTemporaryError("only now")
        yield Finished("stop")

    @property
    @override
    def response(self) -> LLMResponse[str]:
        raise LLMTemporaryError("not there")


class AsksTooEarly(Wrapper):
    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        self.asked = asyncio.ensure_future(self.inner.generate(request))
        return self.inner.stream(request)


class Swallows(Wrapper):
    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        try:
            return await self.inner.generate(request)
        except asyncio.CancelledError:
            return LLMResponse("never mind", "never mind", "p", "m")


class TurnsCancellationIntoAnError(Wrapper):
    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        try:
            return await self.inner.generate(request)
        except asyncio.CancelledError:
            raise LLMTemporaryError("cancelled") from None


class SwallowsOnEntering(Wrapper):
    @override
    @asynccontextmanager
    async def stream(self, request: LLMRequest) -> AsyncGenerator[LLMStream]:
        try:
            async with self.inner.stream(request) as stream:
                yield stream
        except asyncio.CancelledError:
            async with ScriptedClient("never mind").stream(request) as stream:
                yield stream


class SwallowsOnLeaving(Wrapper):
    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return Deaf(self.inner.stream(request))


class Deaf(AbstractAsyncContextManager[LLMStream]):
    def __init__(self, inner: AbstractAsyncContextManager[LLMStream]) -> None:
        self.inner = inner

    @override
    async def __aenter__(self) -> LLMStream:
        return await self.inner.__aenter__()

    @override
    async def __aexit__(self, *error: object) -> bool:
        await self.inner.__aexit__(None, None, None)
        return True


class LeaksStreams(Wrapper):
    @override
    @asynccontextmanager
    async def stream(self, request: LLMRequest) -> AsyncGenerator[LLMStream]:
        yield await self.inner.stream(request).__aenter__()


class LeavesTasks(Wrapper):
    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        self.watching = asyncio.ensure_future(asyncio.Event().wait())
        return await self.inner.generate(request)


class OneAtATime(Wrapper):
    busy = False

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        if self.busy:
            raise RuntimeError("one at a time")
        self.busy = True
        await asyncio.sleep(0)
        self.busy = False
        return await self.inner.generate(request)


class OneStreamAtATime(Wrapper):
    @override
    @asynccontextmanager
    async def stream(self, request: LLMRequest) -> AsyncGenerator[LLMStream]:
        if self.inner.open_streams:
            raise RuntimeError("one at a time")
        async with self.inner.stream(request) as stream:
            yield stream


class OneLoopOnly(Wrapper):
    loop: asyncio.AbstractEventLoop | None = None

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        here = asyncio.get_running_loop()
        self.loop = self.loop or here
        if self.loop is not here:
            raise RuntimeError("another loop")
        return await self.inner.generate(request)


class Suite(ClientContract):
    """The suite over one of these."""

    patience_s: ClassVar[float] = 10.0
    obeys_deadline_s: ClassVar[bool] = True

    def __init__(self, spoil: Callable[[ScriptedClient], ILLMClient]) -> None:
        self.spoil = spoil
        self.leaf = ScriptedClient()

    @override
    @asynccontextmanager
    async def client_answering(self, *replies: Reply) -> AsyncGenerator[ILLMClient]:
        self.leaf = ScriptedClient(*replies[:-1], then=replies[-1])
        yield self.spoil(self.leaf)

    @override
    def in_use(self, client: ILLMClient) -> int:
        return self.leaf.open_streams


BROKEN: list[tuple[str, type[Wrapper], str]] = [
    ("generate_returns_the_whole_answer", ShortText, "the text is 'The capital"),
    ("generate_returns_the_whole_answer", Anonymous, "provider is ''"),
    ("generate_returns_the_whole_answer", LeavesTasks, "tasks were left behind"),
    ("an_answer_cut_by_the_token_limit_is_an_answer", AlwaysStopped, "'stop'"),
    ("usage_is_what_the_provider_says", InventsUsage, "(True, 0, 34)"),
    ("tool_calls_come_in_order_with_ids", OneToolCall, "the answer is [('weather'"),
    ("reasoning_is_no_part_of_the_text", ThinksAloud, "'France? Paris.Paris.'"),
    (
        "an_answer_cut_by_the_token_limit_is_an_answer",
        StreamsAreAlwaysWhole,
        "of the stream is ('The capital', 'stop')",
    ),
    ("usage_of_a_stream_is_what_the_provider_says", StreamsCostNothing, "(False, 0, 0)"),
    ("tool_calls_come_in_order_with_ids", StreamsLoseCalls, "the answer of the stream is []"),
    ("reasoning_is_no_part_of_the_text", StreamsForgetThoughts, "of the stream is ('Paris.', '')"),
    ("a_request_is_never_changed", ChangesTags, "after generate the request is"),
    ("a_request_is_never_changed", FillsExtra, "after stream the request is"),
    ("a_failure_is_an_llm_error_that_says_who_and_why", RaisesOfItsOwn, "RuntimeError in place of LLMError"),
    ("a_failure_is_an_llm_error_that_says_who_and_why", BlamesNobody, "provider is None"),
    ("an_error_says_nothing_of_the_prompt", QuotesThePrompt, "str of the error shows the prompt"),
    ("an_error_survives_being_copied", RaisesHeldErrors, "the copy's type"),
    ("a_client_that_failed_still_answers", NeverRecovers, "it failed before"),
    ("a_bound_ends_the_call_with_its_own_reason", KnowsNoBound, "it returned"),
    ("a_deadline_ends_the_call", Wrapper, "it returned"),
    ("a_stream_ends_with_finished", NeverEnds, "the events end with [TextDelta"),
    ("a_stream_ends_with_finished", EndsTwice, "the events end with [Finished(finish='stop'), Finished"),
    ("the_response_of_a_stream_is_what_generate_returns", OtherModel, "'another'"),
    ("an_empty_answer_is_an_answer", NothingIsAnError, "nothing was said"),
    ("entering_is_the_commit_point", EntersLate, "left the failure to the reader"),
    ("a_stream_that_is_not_entered_asks_nothing", AsksTooEarly, "the first answer is 'second'"),
    ("an_unfinished_stream_has_no_response", AnswersEarly, "`finished` is True before anything was read"),
    ("a_broken_stream_is_interrupted_and_keeps_what_it_delivered", QuietlyCut, "in place of raising Stream"),
    ("a_broken_stream_is_interrupted_and_keeps_what_it_delivered", ForgetsItsError, "the stream's `error` is None"),
    ("a_broken_answer_is_an_error", CutIsAnAnswer, "in place of raising LLMError"),
    ("the_readers_own_error_passes_through", SwallowsOnLeaving, "in place of raising KeyError"),
    ("two_streams_are_read_side_by_side", OneStreamAtATime, "RuntimeError: one at a time"),
    ("leaving_a_stream_early_gives_everything_back", LeaksStreams, "what is in use after leaving without reading is 1"),
    ("generate_can_be_cancelled_at_any_await", Swallows, "it returned LLMResponse"),
    ("generate_can_be_cancelled_at_any_await", TurnsCancellationIntoAnError, "it raised LLMTemporaryError"),
    ("entering_a_stream_can_be_cancelled_at_any_await", SwallowsOnEntering, "cancelled after"),
    ("reading_a_stream_can_be_cancelled_at_any_event", SwallowsOnLeaving, "ended as if it were not"),
    ("it_is_shared_by_tasks", OneAtATime, "RuntimeError: one at a time"),
    ("it_is_shared_by_threads_and_loops", OneLoopOnly, "RuntimeError: another loop"),
]


@pytest.mark.parametrize(("claim", "broken", "seen"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_promise_is_noticed(
    claim: str, broken: type[Wrapper], seen: str, breach: Callable[[Contract, str], str]
) -> None:
    assert seen in breach(Suite(broken), f"test_{claim}")


def test_every_claim_of_the_contract_is_proved_to_fail() -> None:
    claims = {name.removeprefix("test_") for name in dir(ClientContract) if name.startswith("test_")}
    assert claims == {claim for claim, _, _ in BROKEN}
