"""A typed client asks in the mode that suits the model, asks once more, and says what it spent."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import FrozenInstanceError, replace
from types import MappingProxyType

import pytest
from typing_extensions import override

from loomwire.application.clients.typed import TypedLLMClient
from loomwire.application.typed.forms import TypedMode
from loomwire.application.typed.source import TypedSource, TypedTarget
from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.errors import (
    CapabilityError,
    LLMError,
    LLMRateLimitError,
    LLMValidationError,
    OutputInvalidError,
    llm_error,
)
from loomwire.domain.messages import Image, Message, Reasoning, Text, ToolResult
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.output import IOutputSchema
from loomwire.domain.pricing import Cost, Unpriced, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import Bound, LLMRequest, OutputSpec
from loomwire.domain.responses import LLMResponse
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import JSON, JSONObject, ToolCall

CLOSED: JSONObject = {
    "type": "object",
    "properties": {"value": {"type": "integer"}},
    "required": ["value"],
    "additionalProperties": False,
}
KNOWN = ModelCapabilities(supports_json_schema=True)
UNKNOWN = ModelCapabilities()
TOOLS = ModelCapabilities(supports_json_schema=False, supports_tools=True)
PLAIN = ModelCapabilities(supports_json_schema=False)
WEATHER = Tool("weather")
ASK = LLMRequest.of("How many?")
USED = Usage(10, 5, reported_total=15)


class HandClock(IClock):
    """Time that the fakes move."""

    def __init__(self) -> None:
        self.time = 100.0

    @override
    def now(self) -> float:
        return self.time

    @override
    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a typed client never waits")

    @override
    def timeout_at(self, at: float) -> AbstractAsyncContextManager[object]:
        raise AssertionError("the chain below keeps the bound")


class Told(ILLMClient):
    """Answers what it is told, after `took` seconds each."""

    def __init__(self, clock: HandClock, *said: LLMResponse[str] | BaseException, took: float = 1.0) -> None:
        self.said = deque(said)
        self.requests: list[LLMRequest] = []
        self._clock = clock
        self._took = took

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        self.requests.append(request)
        self._clock.time += self._took
        said = self.said.popleft()
        if isinstance(said, BaseException):
            raise said
        return said

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        raise AssertionError("a typed client never streams")


class Source(TypedSource):
    """Leases one target and counts."""

    def __init__(self, client: ILLMClient, can: ModelCapabilities) -> None:
        self._target = TypedTarget(client, 60.0, can)
        self.entered = self.left = 0

    @override
    def lease(self) -> AbstractContextManager[TypedTarget]:
        return self._lease()

    @contextmanager
    def _lease(self) -> Iterator[TypedTarget]:
        self.entered += 1
        try:
            yield self._target
        finally:
            self.left += 1


class Number(IOutputSchema[int]):
    """An integer, wrapped."""

    def __init__(self, schema: JSONObject = CLOSED, problems: tuple[str, ...] = ("$.value: not whole",)) -> None:
        self._schema = schema
        self._problems = problems
        self.cause: Exception | None = None

    @property
    @override
    def name(self) -> str:
        return "Number"

    @property
    @override
    def schema(self) -> JSONObject:
        return self._schema

    @override
    def decode(self, text: str) -> int:
        try:
            return int(json.loads(text)["value"])
        except (ValueError, TypeError):
            error = OutputInvalidError("no number", problems=self._problems, text=text)
            error.original_error = self.cause
            raise error from None


class Stage:
    """One typed client with everything around it."""

    def __init__(
        self,
        *said: LLMResponse[str] | BaseException,
        can: ModelCapabilities = KNOWN,
        mode: TypedMode = "auto",
        reasks: int = 1,
        took: float = 1.0,
        schema: IOutputSchema[int] | None = None,
    ) -> None:
        self.clock = HandClock()
        self.client = Told(self.clock, *said, took=took)
        self.source = Source(self.client, can)
        self.typed = TypedLLMClient(self.source, schema or Number(), self.clock, reasks=reasks, mode=mode)

    async def failure(self, request: LLMRequest = ASK) -> OutputInvalidError:
        """Return what a call raises."""
        with pytest.raises(OutputInvalidError) as caught:
            await self.typed.generate(request)
        assert self.source.entered == self.source.left == 1
        return caught.value

    async def asked(self, request: LLMRequest = ASK) -> LLMRequest:
        """Return what the chain is asked for."""
        await self.typed.generate(request)
        return self.client.requests[-1]


def says(text: str = '{"value": 3}', **changes: object) -> LLMResponse[str]:
    """Return an answer."""
    steps = (Step("attempt", "one/m", "answered"),)
    answer = LLMResponse(text, text, "one", "m", finish="stop", usage=USED, cost=Cost(7), request_id="r-1", steps=steps)
    answer.__dict__.update(changes)
    return answer


def calls(*arguments: JSONObject | None, text: str = "", name: str = "Number") -> LLMResponse[str]:
    """Return an answer that calls the tool, once for each arguments."""
    made = tuple(ToolCall(f"c{at}", name, a, "" if a else "{broken") for at, a in enumerate(arguments))
    return says(text, tool_calls=made, finish="tool_calls")


def refused(reason: str, status: int | None = 400) -> LLMError:
    """Return the error of a server that refuses a request."""
    return llm_error(reason, "refused", status=status).with_step(Step("attempt", "one/m", "failed", reason))


def spent(error: LLMError) -> Mapping[str, JSON]:
    """Return what an error says was spent."""
    found = error.metadata["spent"]
    assert isinstance(found, Mapping)
    return found


def words(request: LLMRequest) -> str:
    """Return all text of a request."""
    return "\n".join(message.text for message in request.messages)


async def test_the_answer_holds_the_object_and_everything_else_of_the_response() -> None:
    stage = Stage(says())
    answer = await stage.typed.generate(ASK)
    assert answer.output == 3
    assert (answer.text, answer.usage, answer.cost, answer.request_id) == ('{"value": 3}', USED, Cost(7), "r-1")
    assert [step.layer for step in answer.steps] == ["attempt"]
    assert stage.source.entered == stage.source.left == 1
    assert stage.typed.schema.name == "Number"


async def test_a_model_known_to_keep_to_a_schema_gets_it_natively_and_no_words() -> None:
    asked = await Stage(says()).asked()
    assert asked.output == OutputSpec(CLOSED, "Number", strict=True)
    assert asked.messages == ASK.messages
    assert not asked.tools


async def test_a_model_nobody_knows_gets_the_schema_natively_and_in_words() -> None:
    asked = await Stage(says(), can=UNKNOWN).asked()
    assert asked.output == OutputSpec(CLOSED, "Number")
    assert len(asked.messages) == 1
    assert asked.messages[0].text.startswith("How many?\n\nAnswer with one JSON object and nothing else.")
    assert json.dumps(CLOSED, separators=(",", ":")) in asked.messages[0].text


async def test_a_model_without_schemas_but_with_tools_must_call_one() -> None:
    asked = await Stage(calls({"value": 3}), can=TOOLS).asked()
    assert asked.tools == (Tool("Number", "Give the answer by calling this tool, once.", CLOSED, strict=True),)
    assert asked.tool_choice == ToolNamed("Number")
    assert asked.output is None
    assert asked.messages == ASK.messages


async def test_a_request_with_tools_of_its_own_keeps_them_and_is_prompted() -> None:
    asked = await Stage(says(), can=TOOLS).asked(replace(ASK, tools=(WEATHER,)))
    assert asked.tools == (WEATHER,)
    assert "JSON Schema" in words(asked)


@pytest.mark.parametrize("json_mode", [True, False, None])
async def test_a_model_with_neither_is_prompted_and_held_to_json_where_that_is_known(json_mode: bool | None) -> None:
    asked = await Stage(says(), can=replace(PLAIN, supports_json_mode=json_mode)).asked()
    assert asked.output == (OutputSpec(None, "Number") if json_mode else None)
    assert "JSON Schema" in words(asked)


@pytest.mark.parametrize("can", [KNOWN, UNKNOWN, TOOLS, PLAIN])
async def test_a_mode_that_is_named_is_taken_whatever_the_model_can(can: ModelCapabilities) -> None:
    native = await Stage(says(), can=can, mode="native").asked()
    assert (native.output, native.messages) == (OutputSpec(CLOSED, "Number"), ASK.messages)
    tool = await Stage(calls({"value": 3}), can=can, mode="tool").asked()
    assert tool.tool_choice == ToolNamed("Number")
    prompted = await Stage(says(), can=can, mode="prompted").asked()
    assert prompted.output is None
    assert "JSON Schema" in words(prompted)


async def test_the_words_join_the_system_message_when_there_is_one() -> None:
    asked = await Stage(says(), mode="prompted").asked(LLMRequest.of("How many?", system="Be brief."))
    assert asked.messages[0].text.startswith("Be brief.\n\nAnswer with one JSON object")
    assert len(asked.messages[0].parts) == 1
    assert asked.messages[1] == Message.user("How many?")


async def test_the_words_make_no_system_message_since_it_would_displace_the_clients_own() -> None:
    asked = await Stage(says(), mode="prompted").asked()
    assert [message.role for message in asked.messages] == ["user"]


async def test_a_model_without_system_messages_gets_the_words_from_the_user() -> None:
    can = ModelCapabilities(supports_system_message=False)
    asked = await Stage(says(), can=can, mode="prompted").asked(LLMRequest.of("How many?", system="Be brief."))
    assert asked.messages[0] == Message.system("Be brief.")
    assert "JSON Schema" in asked.messages[1].text


async def test_the_words_follow_a_picture_and_what_was_not_said_by_the_user() -> None:
    picture = Image(url="https://example.com/a.png")
    asked = await Stage(says(), mode="prompted").asked(LLMRequest.of("How many?", picture))
    assert isinstance(asked.messages[0].parts[-1], Text)
    assert asked.messages[0].parts[:2] == (Text("How many?"), picture)
    told = LLMRequest.of(Message.user("How many?"), Message.assistant("Let me see."))
    asked = await Stage(says(), mode="prompted").asked(told)
    assert [message.role for message in asked.messages] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("request_", "mode", "part"),
    [
        (replace(ASK, output=OutputSpec()), "auto", "output"),
        (replace(ASK, tools=(WEATHER,), tool_choice="required"), "auto", "tool_choice"),
        (replace(ASK, tools=(WEATHER,), tool_choice=ToolNamed("weather")), "native", "tool_choice"),
        (replace(ASK, tools=(WEATHER,)), "tool", "mode 'tool'"),
    ],
)
async def test_what_cannot_give_an_object_is_refused_before_anything_is_leased(
    request_: LLMRequest, mode: TypedMode, part: str
) -> None:
    stage = Stage(says(), mode=mode)
    with pytest.raises(LLMValidationError) as caught:
        await stage.typed.generate(request_)
    assert part in caught.value.message
    assert stage.source.entered == 0


async def test_a_text_in_place_of_a_request_is_a_typed_error_before_anything_is_leased() -> None:
    stage = Stage(says())
    with pytest.raises(LLMValidationError, match="takes an LLMRequest, not str") as caught:
        await stage.typed.generate("How many?")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert "LLMRequest.of" in (caught.value.hint or "")
    assert stage.source.entered == 0


async def test_tools_that_may_or_must_not_be_called_are_passed_on() -> None:
    for choice in ("auto", "none"):
        request = replace(ASK, tools=(WEATHER,), tool_choice="none" if choice == "none" else "auto")
        assert (await Stage(says()).asked(request)).tool_choice == choice


async def test_an_answer_that_does_not_fit_is_asked_for_again_with_what_was_wrong() -> None:
    thought = Reasoning("hm", signature="s")
    stage = Stage(says("three", reasoning=(thought,)), says())
    answer = await stage.typed.generate(ASK)
    assert answer.output == 3
    first, second = stage.client.requests
    assert second.messages[: len(first.messages)] == first.messages
    said, wrong = second.messages[len(first.messages) :]
    assert said == Message.assistant("three", reasoning=[thought])
    assert wrong.role == "user"
    assert "- $.value: not whole" in wrong.text
    assert second.output == first.output


async def test_all_answers_are_paid_for_in_the_sum_and_their_steps_are_kept_in_order() -> None:
    stage = Stage(says("three"), says(usage=Usage(20, 6), cost=Cost(9, estimated=True)))
    answer = await stage.typed.generate(ASK)
    assert answer.usage == Usage(30, 11)
    assert answer.cost == Cost(16, estimated=True)
    assert answer.steps == (
        Step("attempt", "one/m", "answered"),
        Step("typed", "one/m", "reasked", "output_invalid", latency_s=1.0),
        Step("attempt", "one/m", "answered"),
    )


async def test_an_unknown_price_makes_the_sum_unknown() -> None:
    stage = Stage(says("three", cost=Unpriced("no_price")), says())
    assert (await stage.typed.generate(ASK)).cost == Unpriced("no_price")
    error = await Stage(says("three", cost=Unpriced("no_price")), says("four")).failure()
    assert spent(error)["cost_usd"] is None


async def test_the_last_misfit_is_the_error_with_all_that_is_known() -> None:
    schema = Number(problems=("$.value: not whole", "$.unit: missing", "$: odd"))
    schema.cause = KeyError("x")
    stage = Stage(says("three"), says("four"), schema=schema)
    error = await stage.failure()
    assert error.message == "the answer does not fit Number: $.value: not whole (and 2 more)"
    assert error.problems == ("$.value: not whole", "$.unit: missing", "$: odd")
    assert (error.text, error.provider, error.model, error.request_id) == ("four", "one", "m", "r-1")
    assert [step.outcome for step in error.steps] == ["answered", "reasked", "answered"]
    assert spent(error) == {"answers": 2, "usage": Usage(20, 10).to_dict(), "cost_usd": "0.000014"}
    assert error.original_error is schema.cause
    assert "four" not in str(error) + str(error.to_dict())


@pytest.mark.parametrize(("reasks", "sends"), [(0, 1), (-1, 1), (1, 2), (3, 4)])
async def test_it_asks_as_often_as_allowed(reasks: int, sends: int) -> None:
    stage = Stage(*[says("three")] * 9, reasks=reasks)
    await stage.failure()
    assert len(stage.client.requests) == sends


@pytest.mark.parametrize(("before", "sends"), [(0, 8), (6, 2), (7, 1), (9, 1)])
async def test_no_call_is_sent_more_often_than_it_may_be_however_often_it_asks(before: int, sends: int) -> None:
    stage = Stage(*[says("three")] * 20, reasks=19)
    error = await stage.failure(replace(ASK, bound=Bound(160.0, sent=before)))
    assert isinstance(error, OutputInvalidError)
    assert len(stage.client.requests) == sends


KEPT = says("kept", cached=True, steps=(Step("cache", "memory", "hit"),))


async def test_an_answer_that_was_kept_is_asked_for_again_as_any_other() -> None:
    stage = Stage(KEPT, replace(KEPT, output="", text='{"value": 4}'))
    assert (await stage.typed.generate(ASK)).output == 4
    assert [request.cache for request in stage.client.requests] == [None, None]


@pytest.mark.parametrize("reasks", [0, 1])
async def test_no_call_fails_by_what_was_kept(reasks: int) -> None:
    stage = Stage(*[KEPT] * (reasks + 1), says(), reasks=reasks)
    assert (await stage.typed.generate(ASK)).output == 3
    *before, last = stage.client.requests
    assert [request.cache for request in before] == [None] * (reasks + 1)
    assert (last.cache, last.messages) == ("refresh", before[-1].messages)


async def test_what_was_asked_for_anew_is_so_once() -> None:
    stage = Stage(KEPT, KEPT, reasks=0)
    await stage.failure()
    assert [request.cache for request in stage.client.requests] == [None, "refresh"]


async def test_a_decoder_without_reasons_still_gives_one() -> None:
    error = await Stage(says("three"), reasks=0, schema=Number(problems=())).failure()
    assert error.problems == ("$: the answer does not fit",)
    assert error.message == "the answer does not fit Number: $: the answer does not fit"


async def test_one_deadline_holds_for_all_answers() -> None:
    stage = Stage(says("three"), says())
    await stage.typed.generate(replace(ASK, deadline_s=5.0))
    assert [request.bound for request in stage.client.requests] == [Bound(105.0), Bound(105.0, sent=1)]
    stage = Stage(says())
    assert (await stage.asked()).bound == Bound(160.0)


@pytest.mark.parametrize(("took", "sends"), [(4.7, 2), (4.76, 1), (9.0, 1)])
async def test_nothing_is_asked_again_with_hardly_any_time_left(took: float, sends: int) -> None:
    stage = Stage(says("three"), says("four"), took=took)
    error = await stage.failure(replace(ASK, deadline_s=5.0))
    assert isinstance(error, OutputInvalidError)
    assert len(stage.client.requests) == sends


async def test_a_bound_that_is_there_stays() -> None:
    stage = Stage(says("three"), says())
    asked = await stage.asked(replace(ASK, bound=Bound(103.0, "attempt", sent=2)))
    assert asked.bound == Bound(103.0, "attempt", sent=3)


@pytest.mark.parametrize(
    ("answer", "problem", "hint"),
    [
        (says('{"value": 3}', finish="length"), "$: the answer was cut by max_tokens", "max_tokens"),
        (says("", finish="content_filter"), "$: the provider's content filter stopped the answer", "prompt"),
        (says("", refusal="I will not."), "$: the model refused to answer", "prompt"),
        (says("", refusal="", finish="length"), "$: the model refused to answer", "prompt"),
    ],
)
async def test_what_asking_again_cannot_mend_is_not_asked_again(
    answer: LLMResponse[str], problem: str, hint: str
) -> None:
    stage = Stage(answer, says())
    error = await stage.failure()
    assert error.problems == (problem,)
    assert hint in error.hint
    assert len(stage.client.requests) == 1
    assert spent(error)["answers"] == 1
    assert error.text in (answer.text, answer.refusal)


async def test_a_stand_in_is_taken_when_it_fits_and_never_asked_again() -> None:
    stage = Stage(says(degraded=True))
    assert (await stage.typed.generate(ASK)).degraded
    stage = Stage(says("Sorry.", degraded=True), says())
    error = await stage.failure()
    assert len(stage.client.requests) == 1
    # The prompt and the type are not to blame.
    assert "on_exhausted" in error.hint


@pytest.mark.parametrize(("name", "told"), [("weather", "weather"), ("made_up", "unknown ones")])
async def test_a_call_of_the_requests_own_tools_is_no_object(name: str, told: str) -> None:
    stage = Stage(calls({"place": "Rome"}, text='{"value": 3}', name=name), says())
    error = await stage.failure(replace(ASK, tools=(WEATHER,)))
    assert error.problems == (f"$: the model called tools instead of answering: {told}",)
    assert "ILLMClient" in error.hint
    assert len(stage.client.requests) == 1


async def test_in_tool_mode_the_arguments_are_the_object() -> None:
    assert (await Stage(calls({"value": 3}), can=TOOLS).typed.generate(ASK)).output == 3
    frozen = calls(MappingProxyType({"value": 3}))
    assert (await Stage(frozen, can=TOOLS).typed.generate(ASK)).output == 3


async def test_in_tool_mode_the_answer_may_also_be_written() -> None:
    assert (await Stage(says(), can=TOOLS).typed.generate(ASK)).output == 3


async def test_in_tool_mode_what_was_wrong_is_the_tools_result() -> None:
    stage = Stage(calls({"value": "x"}), calls({"value": 3}), can=TOOLS)
    assert (await stage.typed.generate(ASK)).output == 3
    said, wrong = stage.client.requests[1].messages[1:]
    assert said == Message.assistant(tool_calls=[ToolCall("c0", "Number", {"value": "x"})])
    (result,) = wrong.parts
    assert isinstance(result, ToolResult)
    assert (result.call_id, result.name, result.is_error) == ("c0", "Number", True)
    assert "- $.value: not whole" in str(result.content)
    assert stage.client.requests[1].tool_choice == ToolNamed("Number")


async def test_arguments_that_are_no_json_are_not_sent_back() -> None:
    stage = Stage(calls(None), calls({"value": 3}), can=TOOLS)
    assert (await stage.typed.generate(ASK)).output == 3
    assert stage.client.requests[1].messages[1].parts == (ToolCall("c0", "Number", {}),)


async def test_several_calls_are_not_guessed_between() -> None:
    stage = Stage(calls({"value": 1}, {"value": 2}), calls({"value": 3}), can=TOOLS)
    assert (await stage.typed.generate(ASK)).output == 3
    wrong = stage.client.requests[1].messages[2]
    assert [part.call_id for part in wrong.parts if isinstance(part, ToolResult)] == ["c0", "c1"]
    first = wrong.parts[0]
    assert isinstance(first, ToolResult)
    assert "called 2 times" in str(first.content)


async def test_an_empty_answer_is_sent_back_as_words() -> None:
    stage = Stage(says(""), says())
    await stage.typed.generate(ASK)
    assert stage.client.requests[1].messages[1] == Message.assistant("(no answer)")


@pytest.mark.parametrize("reason", ["invalid_request", "unsupported"])
async def test_a_server_that_refuses_the_schema_is_prompted_instead(reason: str) -> None:
    can = ModelCapabilities(supports_json_mode=True)
    stage = Stage(refused(reason), says("three"), says(), can=can)
    answer = await stage.typed.generate(ASK)
    first, second, third = stage.client.requests
    assert first.output == OutputSpec(CLOSED, "Number")
    assert second.output == third.output == OutputSpec(None, "Number")
    assert words(second).count("JSON Schema") == 1
    assert [step.outcome for step in answer.steps] == ["failed", "demoted", "answered", "reasked", "answered"]
    assert answer.steps[1] == Step("typed", "", "demoted", reason, latency_s=1.0)
    assert (answer.usage, answer.cost) == (Usage(20, 10), Cost(14))


@pytest.mark.parametrize("can", [KNOWN, UNKNOWN])
async def test_a_keyword_that_a_vendor_cannot_express_is_asked_for_loosely_and_then_in_words(
    can: ModelCapabilities,
) -> None:
    stage = Stage(CapabilityError("no `minimum`"), CapabilityError("no `anyOf`"), says(), can=can)
    answer = await stage.typed.generate(ASK)
    strict, loose, prompted = stage.client.requests
    assert strict.output == OutputSpec(CLOSED, "Number")
    assert loose == replace(strict, output=OutputSpec(CLOSED, "Number", strict=False))
    assert prompted.output == (None if can.supports_json_mode is None else OutputSpec(None, "Number"))
    assert words(prompted).count("JSON Schema") == 1
    assert [step.outcome for step in answer.steps] == ["demoted", "demoted", "answered"]


async def test_what_a_vendor_cannot_express_at_all_is_the_callers_to_know() -> None:
    error = CapabilityError("no pictures")
    stage = Stage(error, error, error, can=KNOWN)
    with pytest.raises(CapabilityError):
        await stage.typed.generate(ASK)
    named = Stage(error, can=KNOWN, mode="native")
    with pytest.raises(CapabilityError):
        await named.typed.generate(ASK)
    assert (len(stage.client.requests), len(named.client.requests)) == (3, 1)


async def test_one_answer_after_a_refusal_keeps_its_own_usage() -> None:
    answer = await Stage(refused("invalid_request"), says(), can=UNKNOWN).typed.generate(ASK)
    assert answer.usage == USED
    assert [step.outcome for step in answer.steps] == ["failed", "demoted", "answered"]


@pytest.mark.parametrize(
    ("can", "mode", "error"),
    [
        (UNKNOWN, "auto", refused("throttled", 429)),
        (UNKNOWN, "auto", refused("invalid_request", None)),
        (KNOWN, "auto", refused("invalid_request")),
        (UNKNOWN, "native", refused("invalid_request")),
        (PLAIN, "auto", refused("invalid_request")),
    ],
)
async def test_any_other_refusal_is_the_callers(can: ModelCapabilities, mode: TypedMode, error: LLMError) -> None:
    stage = Stage(error, can=can, mode=mode)
    with pytest.raises(type(error)) as caught:
        await stage.typed.generate(ASK)
    assert caught.value is error
    assert [step.layer for step in error.steps] == ["attempt"]
    assert not error.metadata
    assert stage.source.left == 1


async def test_a_server_that_answered_once_did_not_refuse_the_schema() -> None:
    stage = Stage(says("three"), refused("invalid_request"), can=UNKNOWN)
    with pytest.raises(LLMValidationError):
        await stage.typed.generate(ASK)
    assert len(stage.client.requests) == 2


async def test_a_server_that_refuses_both_forms_is_not_asked_a_third_time() -> None:
    stage = Stage(refused("invalid_request"), refused("invalid_request"), can=UNKNOWN)
    with pytest.raises(LLMValidationError) as caught:
        await stage.typed.generate(ASK)
    assert [step.outcome for step in caught.value.steps] == ["failed", "demoted", "failed"]
    assert "spent" not in caught.value.metadata


async def test_an_error_of_the_second_send_says_what_the_first_answer_cost() -> None:
    limited = LLMRateLimitError("slow down", metadata={"seen": 1}).with_step(Step("attempt", "one/m", "failed"))
    stage = Stage(says("three"), limited)
    with pytest.raises(LLMRateLimitError) as caught:
        await stage.typed.generate(ASK)
    assert [step.outcome for step in caught.value.steps] == ["answered", "reasked", "failed"]
    assert spent(caught.value) == {"answers": 1, "usage": USED.to_dict(), "cost_usd": "0.000007"}
    assert caught.value.metadata["seen"] == 1


async def test_cancellation_passes_through_and_ends_the_lease() -> None:
    stage = Stage(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await stage.typed.generate(ASK)
    assert stage.source.left == 1


def schema_of(**changes: JSON) -> JSONObject:
    """Return the closed schema with another property."""
    return {**CLOSED, "properties": {"value": changes}}


STRICT: list[JSONObject] = [
    CLOSED,
    schema_of(type="string", format="date-time"),
    schema_of(type="array", items={"type": "integer"}, minItems=1),
    schema_of(anyOf=[{"type": "integer"}, {"type": "null"}], description="x"),
    schema_of(enum=[1, 2]),
    schema_of(const=1),
    {**schema_of(**{"$ref": "#/$defs/A"}), "$defs": {"A": CLOSED}},
]
LOOSE: list[JSONObject] = [
    {"type": "object"},
    {"type": "object", "additionalProperties": {"type": "integer"}},
    {**CLOSED, "additionalProperties": True},
    {**CLOSED, "required": []},
    {"type": "object", "properties": {}, "additionalProperties": False, "required": ["ghost"]},
    schema_of(),
    schema_of(type="string", format="uri"),
    schema_of(type="string", minLength=1),
    schema_of(type="string", default="x"),
    schema_of(type="array", prefixItems=[{"type": "integer"}]),
    schema_of(type="array", items={}),
    schema_of(type="array", items=True),
    schema_of(anyOf=[{"type": "object"}]),
    {**CLOSED, "$defs": {"A": {"type": "object"}}},
]


@pytest.mark.parametrize(("schema", "strict"), [(s, True) for s in STRICT] + [(s, False) for s in LOOSE])
async def test_strictness_is_asked_for_only_where_vendors_take_the_schema(schema: JSONObject, strict: bool) -> None:
    native = await Stage(says(), schema=Number(schema)).asked()
    assert native.output is not None
    assert native.output.strict is strict
    tool = await Stage(says(), schema=Number(schema), mode="tool").asked()
    assert tool.tools[0].strict is strict


def test_a_schema_that_is_none_is_refused_when_the_client_is_made() -> None:
    with pytest.raises(LLMValidationError):
        Stage(schema=Number({"type": "nothing"}))


def test_a_typed_client_is_a_frozen_value() -> None:
    clock = HandClock()
    client = TypedLLMClient[int](Source(Told(clock), KNOWN), Number(), clock)
    with pytest.raises(FrozenInstanceError):
        client.reasks = 2  # type: ignore[misc]  # the point of the test
    assert "_forms" not in repr(client)
