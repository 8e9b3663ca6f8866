"""An answer under construction ends as one response, or as an interruption that carries what came."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMNetworkError, LLMProtocolError, StreamInterruptedError
from loomwire.domain.events import Finished, StreamEvent, TextDelta, ToolCallEnd
from loomwire.domain.messages import Reasoning
from loomwire.domain.pricing import FREE, Cost, Prices, Unpriced, Usage
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import ToolCall
from loomwire.infrastructure.providers.wire.answer import Answer, AnswerStream

CONFIG = LLMConfig.custom("m", name="vendor")


def test_an_answer_becomes_a_response_with_everything_noted() -> None:
    answer = Answer(CONFIG)
    assert answer.add_text("Hel") == TextDelta("Hel")
    answer.add_text("lo")
    answer.set_usage(Usage(3, 2))
    answer.finish, answer.finish_wire = "stop", "eos"
    answer.request_id, answer.response_id, answer.model, answer.refusal = "r", "a", "m-2", "no"
    assert answer.end() == [Finished("stop")]
    response = answer.result()
    assert (response.text, response.output, response.usage) == ("Hello", "Hello", Usage(3, 2))
    assert (response.provider, response.model, response.finish_wire) == ("vendor", "m-2", "eos")
    assert (response.request_id, response.response_id, response.refusal) == ("r", "a", "no")
    assert response.cost == Unpriced("no_price")
    assert answer.result() is response


def test_an_answer_ends_once() -> None:
    answer = Answer(CONFIG)
    answer.end()
    assert answer.end() == []


def test_stop_beside_tool_calls_is_read_as_tool_calls() -> None:
    answer = Answer(CONFIG)
    answer.start_call("c1", "look")
    answer.add_arguments(0, '{"a":')
    answer.add_arguments(0, "1}")
    answer.finish = "stop"
    call = ToolCall("c1", "look", {"a": 1})
    assert answer.end() == [ToolCallEnd(0, call), Finished("tool_calls")]
    assert answer.result().tool_calls == (call,)


@pytest.mark.parametrize(
    ("raw", "arguments"), [("", {}), (" \n", {}), ("null", {}), ('{"a":[]}', {"a": []}), ("[1]", None), ('{"a":', None)]
)
def test_arguments_that_are_no_object_are_kept_as_text(raw: str, arguments: dict[str, object] | None) -> None:
    answer = Answer(CONFIG)
    answer.start_call("c1", "look")
    answer.add_arguments(0, raw)
    answer.end()
    (call,) = answer.result().tool_calls
    assert (call.arguments, call.raw_arguments) == (arguments, "" if arguments is not None else raw)


def test_arguments_nested_deeper_than_allowed_are_kept_as_text() -> None:
    answer = Answer(CONFIG)
    answer.start_call("c1", "look")
    answer.add_arguments(0, '{"a":' + "[" * 64 + "]" * 64 + "}")
    answer.end()
    assert answer.result().tool_calls[0].arguments is None


def test_thinking_that_comes_as_text_and_as_items_is_shown_once() -> None:
    answer = Answer(CONFIG)
    answer.add_reasoning("Hm. ")
    answer.add_reasoning("Yes.")
    answer.keep_item(Reasoning("Hm. Yes.", signature="s"))
    answer.end()
    assert answer.result().reasoning == (Reasoning("Hm. Yes.", signature="s"),)


def test_items_that_say_something_else_than_the_text_keep_only_their_proof() -> None:
    answer = Answer(CONFIG)
    answer.add_reasoning("Hm.")
    answer.keep_item(Reasoning("A summary.", signature="s", id="i", wire={"type": "x"}))
    answer.end()
    assert answer.result().reasoning == (Reasoning("Hm."), Reasoning("", "s", None, "i", {"type": "x"}))


def test_plain_thinking_is_one_item_and_none_is_none() -> None:
    answer = Answer(CONFIG)
    before = answer.delivered
    answer.add_reasoning("Hm.")
    assert (before, answer.delivered) == (False, True)
    answer.end()
    assert answer.result().reasoning == (Reasoning("Hm."),)
    empty = Answer(CONFIG)
    empty.end()
    assert empty.result().reasoning == ()


def test_the_charge_follows_from_prices_and_is_never_invented() -> None:
    priced = LLMConfig.custom("m", prices=Prices.per_mtok(Decimal(1), Decimal(2)))
    answer = Answer(priced)
    answer.set_usage(Usage(1000, 500))
    assert answer.response().cost == Cost(2000)
    assert Answer(priced).response().cost == Unpriced("no_usage")
    assert Answer(LLMConfig.custom("m", free=True)).response().cost == FREE


def test_an_interruption_carries_exactly_what_came() -> None:
    answer = Answer(CONFIG)
    answer.add_text("Hel")
    answer.start_call("c1", "look")
    answer.add_arguments(0, '{"a":')
    answer.set_usage(Usage(3, 2))
    answer.request_id = "r"
    error = answer.interrupted("it broke", phase="stream_after_token")
    assert (error.partial_text, error.usage_so_far) == ("Hel", Usage(3, 2))
    assert error.partial_tool_calls == (ToolCall("c1", "look", None, '{"a":'),)
    assert (error.provider, error.model, error.request_id, error.phase) == ("vendor", "m", "r", "stream_after_token")
    assert error.reason == "stream_interrupted"
    assert answer.error is None


def test_an_unfinished_answer_has_no_result() -> None:
    answer = Answer(CONFIG)
    with pytest.raises(StreamInterruptedError) as caught:
        answer.result()
    assert caught.value.usage_so_far is None


async def test_a_stream_over_an_answer_tells_its_state() -> None:
    answer = Answer(CONFIG)

    async def events() -> AsyncIterator[StreamEvent]:
        yield answer.add_text("Hi")
        for event in answer.end():
            yield event

    stream = AnswerStream(answer, events())
    before = (stream.finished, stream.error)
    with pytest.raises(StreamInterruptedError):
        _ = stream.response
    assert [event async for event in stream] == [TextDelta("Hi"), Finished(None)]
    assert (before, stream.finished) == ((False, None), True)
    response: LLMResponse[str] = stream.response
    assert response.text == "Hi"
    answer.error = LLMNetworkError("gone")
    assert stream.error is answer.error


def test_names_that_are_no_text_say_nothing() -> None:
    answer = Answer(CONFIG)
    answer.note_names("a1", "m-2")
    for nothing in (None, "", 3, ["x"]):
        answer.note_names(nothing, nothing)
    assert (answer.response_id, answer.model) == ("a1", "m-2")


def test_a_body_without_a_terminal_sign_is_no_answer_unless_that_is_forgiven() -> None:
    strict, lenient = Answer(CONFIG), Answer(replace(CONFIG, lenient_terminal=True))
    with pytest.raises(LLMProtocolError, match="held no answer"):
        strict.forgive_cut("done", begun=False)
    with pytest.raises(StreamInterruptedError, match="ended without done"):
        lenient.forgive_cut("done", begun=True)
    for answer in (strict, lenient):
        answer.add_text("Hi")
    with pytest.raises(StreamInterruptedError) as cut:
        strict.forgive_cut("done", begun=True)
    assert (cut.value.partial_text, strict.complete) == ("Hi", True)
    lenient.forgive_cut("done", begun=True)
    assert not lenient.complete
