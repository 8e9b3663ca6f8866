"""Claims about answers and errors."""

from __future__ import annotations

import copy
import time
from dataclasses import replace

from loomwire.domain.errors import LLMError, LLMTimeoutError
from loomwire.domain.events import ReasoningDelta, ToolCallEnd
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.pricing import Usage
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.contracts.client_claims.harness import ANSWER, CANARY, ClientHarness, streamed, told_by_stream
from loomwire.testing.contracts.contract import claim, expect, needs, raised, same

_WEATHER = Tool("weather", "Tells the weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
_LATE = Reply(ANSWER, delay_s=1.0)
_FAILURES = (
    Failure("throttled", status=429, retry_after=2.0),
    Failure("server", status=500),
    Failure("credentials", status=401),
)


class AnswerClaims(ClientHarness):
    """What `generate` returns and raises."""

    @claim
    async def test_generate_returns_the_whole_answer(self) -> None:
        """`generate` returns the whole answer: text, output, finish, and who gave it."""
        async with self.client_answering(Reply(ANSWER)) as client:
            answer = await client.generate(self.request())
        same(answer.text, ANSWER, "the text")
        same(answer.output, ANSWER, "the output of a plain client, which is its text,")
        same(answer.finish, "stop", "finish")
        expect(answer.complete, "complete is False")
        expect(answer.provider and answer.model, f"provider is {answer.provider!r} and model is {answer.model!r}")

    @claim
    async def test_an_answer_cut_by_the_token_limit_is_an_answer(self) -> None:
        """An answer cut by the token limit is an answer with finish `length`, not an error."""
        async with self.client_answering(Reply("The capital", finish="length")) as client:
            answer = await client.generate(self.request())
            told = await told_by_stream(client, self.request())
        same((answer.text, answer.finish), ("The capital", "length"), "(text, finish)")
        same((told.text, told.finish), ("The capital", "length"), "(text, finish) of the stream")

    @claim
    @needs("reports_usage")
    async def test_usage_is_what_the_provider_says(self) -> None:
        """Usage is what the provider says, and known."""
        async with self.client_answering(Reply(ANSWER, usage=Usage(12, 34))) as client:
            usage = (await client.generate(self.request())).usage
        same((usage.known, usage.input_tokens, usage.output_tokens), (True, 12, 34), "(known, input, output)")

    @claim
    @needs("reports_usage", "reports_stream_usage")
    async def test_usage_of_a_stream_is_what_the_provider_says(self) -> None:
        """Usage of a stream is what the provider says, and known."""
        async with self.client_answering(Reply(ANSWER, usage=Usage(12, 34))) as client:
            usage = (await told_by_stream(client, self.request())).usage
        same((usage.known, usage.input_tokens, usage.output_tokens), (True, 12, 34), "(known, input, output)")

    @claim
    @needs("supports_tools")
    async def test_tool_calls_come_in_order_with_ids(self) -> None:
        """Tool calls come in order, with parsed arguments and different ids, whole and as events."""
        asked: tuple[dict[str, JSON], ...] = ({"city": "Paris"}, {"city": "Île 🗼"})
        reply = Reply(tool_calls=tuple(ToolCall("", "weather", arguments) for arguments in asked))
        request = self.request(tools=(_WEATHER,))
        async with self.client_answering(reply) as client:
            answer = await client.generate(request)
            events = await streamed(client, request)
            told = await told_by_stream(client, request)
        for where, calls in (
            ("the answer", answer.tool_calls),
            ("the answer of the stream", told.tool_calls),
            ("the stream", [event.call for event in events if isinstance(event, ToolCallEnd)]),
        ):
            same([(call.name, call.arguments) for call in calls], [("weather", one) for one in asked], where)
            expect(len({call.id for call in calls} - {""}) == 2, f"the ids in {where} are missing or equal")
        same((answer.finish, told.finish), ("tool_calls", "tool_calls"), "finish, whole and streamed,")

    @claim
    @needs("supports_reasoning")
    async def test_reasoning_is_no_part_of_the_text(self) -> None:
        """The model's thinking is handed out apart from the text, whole and as events."""
        async with self.client_answering(Reply("Paris.", reasoning="France? Paris.")) as client:
            answer = await client.generate(self.request())
            events = await streamed(client, self.request())
            told = await told_by_stream(client, self.request())
        same((answer.text, _thought(answer)), ("Paris.", "France? Paris."), "(text, reasoning)")
        same((told.text, _thought(told)), ("Paris.", "France? Paris."), "(text, reasoning) of the stream")
        thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
        same(thought, "France? Paris.", "the streamed reasoning")

    @claim
    async def test_a_request_is_never_changed(self) -> None:
        """A request is never changed, not by `generate` and not by `stream`."""
        extra: dict[str, JSON] = {}
        request = replace(self.request(), tags=frozenset({"a"}), tenant="t", session="s", extra=extra)
        before = copy.deepcopy(request)
        async with self.client_answering(Reply(ANSWER)) as client:
            await client.generate(request)
            same(request, before, "after generate the request")
            await streamed(client, request)
            same(request, before, "after stream the request")

    @claim
    @needs("plays_failures")
    async def test_a_failure_is_an_llm_error_that_says_who_and_why(self) -> None:
        """A failure is an LLMError whose reason, provider and model say why and who, from `generate` and `stream`."""
        for failure in _FAILURES:
            async with self.client_answering(Reply(failure=failure)) as client:
                whole = await raised(LLMError, client.generate(self.request()))
                opened = await raised(LLMError, _entered(client, self.request()))
            for error in (whole, opened):
                same(error.reason, failure.reason, "the reason")
                same(error.retry_after, failure.retry_after, f"retry_after of {failure.reason}")
                expect(error.provider and error.model, f"provider is {error.provider!r}, model is {error.model!r}")

    @claim
    @needs("plays_failures")
    async def test_an_error_says_nothing_of_the_prompt(self) -> None:
        """An error never shows a prompt: not in its text, its repr, its dict or its explanation."""
        async with self.client_answering(Reply(failure=_FAILURES[1])) as client:
            error = await raised(LLMError, client.generate(self.request()))
        for where, shown in (
            ("str", str(error)),
            ("repr", repr(error)),
            ("to_dict", repr(error.to_dict())),
            ("explain", error.explain()),
        ):
            expect(CANARY not in shown, f"{where} of the error shows the prompt")

    @claim
    @needs("plays_failures")
    async def test_an_error_survives_being_copied(self) -> None:
        """An error can be copied, deep-copied and so sent to other processes, and says the same afterwards."""
        async with self.client_answering(Reply(failure=_FAILURES[0])) as client:
            error = await raised(LLMError, client.generate(self.request()))
        for copied in (copy.copy(error), copy.deepcopy(error)):
            same(type(copied), type(error), "the copy's type")
            same(copied.to_dict(), error.to_dict(), "the copy's content")

    @claim
    @needs("plays_failures", "plays_in_order")
    async def test_a_client_that_failed_still_answers(self) -> None:
        """After a failure the same client answers the next call."""
        failed = Reply(failure=_FAILURES[1])
        async with self.client_answering(failed, failed, Reply(ANSWER)) as client:
            await raised(LLMError, client.generate(self.request()))
            await raised(LLMError, _entered(client, self.request()))
            same((await client.generate(self.request())).text, ANSWER, "the next answer")
            same(self.in_use(client), 0, "what is in use afterwards")

    @claim
    async def test_a_bound_ends_the_call_with_its_own_reason(self) -> None:
        """`request.bound` ends `generate` and the entering of a stream in time, with the bound's reason."""
        async with self.client_answering(_LATE) as client:
            for wait_s in (0.1, 0.0):
                bounded = self.request().with_bound(Bound(time.monotonic() + wait_s, "deadline"))
                error = await raised(LLMTimeoutError, client.generate(bounded))
                same(error.reason, "deadline", "the reason")
                bounded = self.request().with_bound(Bound(time.monotonic() + wait_s, "attempt"))
                error = await raised(LLMTimeoutError, _entered(client, bounded))
                same(error.reason, "attempt", "the reason on entering a stream")
            same(self.in_use(client), 0, "what is in use afterwards")

    @claim
    @needs("obeys_deadline_s")
    async def test_a_deadline_ends_the_call(self) -> None:
        """`deadline_s` ends `generate` and the entering of a stream with reason `deadline`."""
        async with self.client_answering(_LATE) as client:
            hurried = replace(self.request(), deadline_s=0.1)
            error = await raised(LLMTimeoutError, client.generate(hurried))
            same(error.reason, "deadline", "the reason")
            error = await raised(LLMTimeoutError, _entered(client, hurried))
            same(error.reason, "deadline", "the reason on entering a stream")
            same(self.in_use(client), 0, "what is in use afterwards")


async def _entered(client: ILLMClient, request: LLMRequest) -> str:
    async with client.stream(request):
        return "a stream that was entered"


def _thought(answer: LLMResponse[str]) -> str:
    return "".join(item.text for item in answer.reasoning)
