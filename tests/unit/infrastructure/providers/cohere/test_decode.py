"""Answers of Cohere's chat v2 are read as they were meant, whatever a server does, and nothing escapes untyped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, StreamInterruptedError
from loomwire.domain.events import Finished, ReasoningDelta, StreamEvent, TextDelta, ToolCallDelta
from loomwire.domain.messages import Reasoning
from loomwire.domain.pricing import NO_USAGE, Usage
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.cohere.chat import CohereChat
from loomwire.infrastructure.providers.cohere.extras import MOST_ITEMS
from loomwire.infrastructure.providers.wire.answer import Answer
from support.mutations import mutated

CONFIG = LLMConfig.custom("m", dialect="cohere", name="vendor")
LENIENT = LLMConfig(type="custom", dialect="cohere", model="m", lenient_terminal=True)


def read(body: JSON | bytes) -> LLMResponse[str]:
    """Read a whole answer."""
    answer = Answer(CONFIG)
    CohereChat().decode(body if isinstance(body, bytes) else json.dumps(body).encode(), answer)
    return answer.result()


def whole(message: JSON, finish: JSON = "COMPLETE", **fields: JSON) -> LLMResponse[str]:
    """Read a whole answer with a message."""
    return read({"id": "a-1", "message": message, "finish_reason": finish, **fields})


def event(kind: str, message: JSON = None, index: JSON = 0, **delta: JSON) -> bytes:
    """Return the data of one event."""
    said = delta if message is None else {"message": message, **delta}
    return json.dumps({"type": kind, "index": index, "delta": said}).encode()


def text(words: str) -> bytes:
    """Return a piece of text."""
    return event("content-delta", {"content": {"text": words}})


def end(finish: JSON = "COMPLETE", **delta: JSON) -> bytes:
    """Return the end of a stream."""
    return event("message-end", finish_reason=finish, **delta)


def streamed(*data: bytes, config: LLMConfig = CONFIG) -> tuple[list[StreamEvent], LLMResponse[str]]:
    """Read the events of a stream and its end."""
    answer = Answer(config)
    reader = CohereChat().reader(answer)
    events = [one for each in data for one in reader.decode_event("message", each)]
    events += reader.end()
    return events, answer.result()


def test_an_answer_with_everything_is_read() -> None:
    response = whole(
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi"}, {"type": "image"}],
            "tool_plan": "I look.",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}],
            "citations": [{"start": 0, "end": 2, "text": "Hi"}],
            "unknown": [1],
        },
        "TOOL_CALL",
        usage={
            "billed_units": {"input_tokens": 1, "output_tokens": 1},
            "tokens": {"input_tokens": 30, "output_tokens": 20, "reasoning_tokens": 5},
            "cached_tokens": 10,
        },
        logprobs=[],
    )
    assert (response.text, response.finish, response.finish_wire) == ("Hi", "tool_calls", "TOOL_CALL")
    assert (response.response_id, response.model) == ("a-1", "m")
    assert response.usage == Usage(30, 20, cache_read_tokens=10, reasoning_tokens=5)
    assert [(call.id, call.name, call.arguments) for call in response.tool_calls] == [("c", "look", {"a": 1})]
    assert response.reasoning == (
        Reasoning("Hm.", origin="cohere"),
        Reasoning(wire={"tool_plan": "I look.", "citations": ({"start": 0, "end": 2, "text": "Hi"},)}, origin="cohere"),
    )


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("ERROR_TOXIC", "content_filter"),
        ("ERROR_LIMIT", "length"),
        ("SOMETHING_NEW", "other"),
    ],
)
def test_a_finish_reason_is_understood_or_kept(word: str, finish: str) -> None:
    for response in (whole({"content": "Hi"}, word), streamed(text("Hi"), end(word))[1]):
        assert (response.finish, response.finish_wire) == (finish, word)


@pytest.mark.parametrize("word", [1, None, "", {}, [], True])
def test_a_finish_reason_that_is_no_word_is_none(word: JSON) -> None:
    for response in (whole({"content": "Hi"}, word), streamed(text("Hi"), end(word))[1]):
        assert (response.text, response.finish, response.finish_wire, response.complete) == ("Hi", None, None, True)


def test_an_end_that_says_nothing_else_is_an_end() -> None:
    events, response = streamed(text("Hi"), b'{"type": "message-end"}', text("after"), b"[DONE]", b"")
    assert events == [TextDelta("Hi"), Finished(None)]
    assert (response.text, response.usage) == ("Hi", NO_USAGE)


@pytest.mark.parametrize(
    ("failed", "reason", "code"),
    [
        ({"error": "Bad tools", "error_type": "INVALID_TOOL_GENERATION"}, "unknown", "INVALID_TOOL_GENERATION"),
        ({"error": "too many tokens: 3", "error_type": "TOO_MANY_TOKENS"}, "context_length", "TOO_MANY_TOKENS"),
        ({"error": "Broken"}, "server", None),
        ({"error": {"odd": 1}, "error_type": 7}, "server", "7"),
        ({}, "server", None),
    ],
)
def test_an_end_with_error_is_an_error(failed: dict[str, JSON], reason: str, code: str | None) -> None:
    for read_it in (
        lambda: streamed(text("Hi"), end("ERROR", usage={}, **failed)),
        lambda: read({"id": "x", "message": {"content": []}, "finish_reason": "ERROR", **failed}),
    ):
        with pytest.raises(LLMError) as caught:
            read_it()
        assert (caught.value.reason, caught.value.provider_code) == (reason, code)


def test_a_timeout_of_the_model_is_one_of_the_gateway() -> None:
    with pytest.raises(LLMError) as caught:
        streamed(text("Hi"), end("TIMEOUT"))
    assert caught.value.reason == "gateway"


def test_an_error_in_place_of_an_answer_is_an_error() -> None:
    body = {"id": "x", "message": "no such thing"}
    for read_it in (
        lambda: read(body),
        lambda: streamed(json.dumps(body).encode()),
        lambda: streamed(b'{"error": "no such thing"}'),
        lambda: list(CohereChat().reader(Answer(CONFIG)).decode_event("error", json.dumps(body).encode())),
    ):
        with pytest.raises(LLMError) as caught:
            read_it()
        assert (caught.value.reason, caught.value.provider_message) == ("server", "no such thing")


def test_a_cut_stream_is_never_an_answer() -> None:
    with pytest.raises(StreamInterruptedError) as caught:
        streamed(text("Hi"))
    assert caught.value.partial_text == "Hi"
    with pytest.raises(StreamInterruptedError):
        streamed(text("Hi"), b"[DONE]")
    with pytest.raises(LLMError, match="held no answer"):
        streamed()
    assert not streamed(text("Hi"), config=LENIENT)[1].complete


def test_a_stream_is_put_together() -> None:
    calls: JSON = {"id": "c", "type": "function", "function": {"name": "look", "arguments": ""}}
    events, response = streamed(
        event(
            "message-start", {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        ),
        event("content-start", {"content": {"type": "thinking", "thinking": ""}}),
        event("content-delta", {"content": {"thinking": "Hm"}}),
        event("content-delta", {"content": {"thinking": "."}}),
        event("content-delta", {"content": {"thinking": "More."}}, 1),
        event("tool-plan-delta", {"tool_plan": "I "}),
        event("tool-plan-delta", {"tool_plan": "look."}),
        event("citation-start", {"citations": {"text": "a"}}),
        event("tool-call-start", {"tool_calls": calls}, 0),
        event("tool-call-delta", {"tool_calls": {"function": {"arguments": '{"a"'}}}, 0),
        event("tool-call-delta", {"tool_calls": {"function": {"arguments": ":1}"}}}, 0),
        event("tool-call-end", None, 0),
        end("TOOL_CALL"),
    )
    thought = [each.text for each in events if isinstance(each, ReasoningDelta)]
    assert thought == ["Hm", ".", "More."]
    assert [each.arguments for each in events if isinstance(each, ToolCallDelta)] == ['{"a"', ":1}"]
    assert response.tool_calls[0].arguments == {"a": 1}
    assert [item.text for item in response.reasoning] == ["Hm.", "More.", ""]
    assert response.reasoning[-1].wire == {"tool_plan": "I look.", "citations": ({"text": "a"},)}


@pytest.mark.parametrize(
    "calls",
    [
        [("c", "look", '{"a":1}', 0), ("c", "look", '{"a":2}', 0)],
        [(None, "look", '{"a":1}', None), (None, "look", '{"a":2}', None)],
        [("c", "look", '{"a":1}', "x"), ("d", "look", '{"a":2}', {})],
    ],
)
def test_two_calls_are_two_whatever_ids_and_indexes_say(calls: Sequence[tuple[JSON, str, str, JSON]]) -> None:
    data = [
        event("tool-call-start", {"tool_calls": {"id": id_, "function": {"name": name, "arguments": arguments}}}, index)
        for id_, name, arguments, index in calls
    ]
    _, response = streamed(*data, end("TOOL_CALL"))
    assert [call.arguments for call in response.tool_calls] == [{"a": 1}, {"a": 2}]
    assert len({call.id for call in response.tool_calls}) == 2


def test_arguments_that_were_cut_are_kept_as_they_came() -> None:
    response = whole({"tool_calls": [{"id": "c", "function": {"name": "look", "arguments": '{"ci'}}]}, "MAX_TOKENS")
    assert (response.finish, response.tool_calls[0].arguments) == ("length", None)
    assert response.tool_calls[0].raw_arguments == '{"ci'


@pytest.mark.parametrize(
    "body",
    [
        b"<html></html>",
        b"null",
        b"[]",
        b"{}",
        b'{"message": {}}',
        b'{"message": {"content": 3}, "finish_reason": "COMPLETE"}',
        b'{"message": {"content": [{"type": "picture"}]}, "finish_reason": "COMPLETE"}',
        b'{"message": {"tool_calls": [{"id": "c"}]}, "finish_reason": "TOOL_CALL"}',
        b'{"message": {"content": [], "x": ' + b"[" * 600 + b"]" * 600 + b'}, "finish_reason": "COMPLETE"}',
    ],
)
def test_what_is_no_answer_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(LLMError) as caught:
        read(body)
    assert caught.value.reason == "protocol"


def test_whole_messages_in_a_stream_are_a_protocol_error() -> None:
    with pytest.raises(LLMError, match="whole messages"):
        streamed(b'{"message": {"content": "Hi"}}')


@pytest.mark.parametrize("kind", [{"citations": {"text": "a"}}, {"content": {"thinking": "a"}}])
def test_there_is_an_end_to_what_is_kept(kind: JSON) -> None:
    with pytest.raises(LLMError) as caught:
        streamed(*(event("content-delta", kind, number) for number in range(MOST_ITEMS + 1)))
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        ({}, NO_USAGE),
        ("many", NO_USAGE),
        ({"billed_units": {"input_tokens": 3, "output_tokens": 2}}, Usage(3, 2, estimated=True)),
        ({"tokens": {"input_tokens": 3.0, "output_tokens": 2.0}}, Usage(3, 2)),
        ({"tokens": {"input_tokens": "x", "output_tokens": 2}}, Usage(0, 2, estimated=True)),
        ({"tokens": {"input_tokens": -3, "output_tokens": 2}}, Usage(0, 2, estimated=True)),
        (
            {"tokens": {"input_tokens": 3, "output_tokens": 2}, "cached_tokens": 9},
            Usage(3, 2, cache_read_tokens=3, estimated=True),
        ),
    ],
)
def test_usage_is_what_can_be(raw: JSON, usage: Usage) -> None:
    assert whole({"content": "Hi"}, usage=raw).usage == usage


ANSWER: JSON = {
    "id": "a",
    "message": {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi"}],
        "tool_plan": "I look.",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        "citations": [{"text": "Hi", "sources": [{"id": "d"}]}],
    },
    "finish_reason": "TOOL_CALL",
    "usage": {"tokens": {"input_tokens": 1, "output_tokens": 2}, "cached_tokens": 1},
}
EVENTS: Sequence[bytes] = (
    event("content-delta", {"content": {"thinking": "Hm."}}),
    text("Hi"),
    event("tool-plan-delta", {"tool_plan": "I look."}),
    event("citation-start", {"citations": {"text": "a"}}),
    event("tool-call-start", {"tool_calls": {"id": "c", "function": {"name": "look", "arguments": "{}"}}}),
    end("TOOL_CALL", usage={"tokens": {"input_tokens": 1, "output_tokens": 2}}),
)


@given(mutated(ANSWER))
def test_no_whole_answer_escapes_untyped(body: JSON) -> None:
    with suppress(LLMError):
        read(body)


@given(st.tuples(*(mutated(json.loads(each)) for each in EVENTS)))
def test_no_stream_escapes_untyped(data: tuple[JSON, ...]) -> None:
    with suppress(LLMError):
        streamed(*(json.dumps(each).encode() for each in data))
