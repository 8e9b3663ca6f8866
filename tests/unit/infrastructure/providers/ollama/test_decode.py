"""Answers of Ollama's chat are read as they were meant, whatever a server does, and nothing escapes untyped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, StreamInterruptedError
from loomwire.domain.events import Finished, StreamEvent, TextDelta
from loomwire.domain.messages import Reasoning
from loomwire.domain.pricing import NO_USAGE, Usage
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.ollama.chat import OllamaChat
from loomwire.infrastructure.providers.wire.answer import Answer
from support.mutations import mutated

CONFIG = LLMConfig.custom("asked", dialect="ollama", name="vendor")
LENIENT = LLMConfig(type="custom", dialect="ollama", model="m", lenient_terminal=True)
END: dict[str, JSON] = {"done": True, "done_reason": "stop"}


def read(body: JSON | bytes) -> LLMResponse[str]:
    """Read a whole answer."""
    answer = Answer(CONFIG)
    OllamaChat().decode(body if isinstance(body, bytes) else json.dumps(body).encode(), answer)
    return answer.result()


def whole(message: JSON, **fields: JSON) -> LLMResponse[str]:
    """Read a whole answer with a message."""
    return read({"model": "m", "message": message, **END, **fields})


def line(message: JSON, **fields: JSON) -> bytes:
    """Return one line of a stream."""
    return json.dumps({"model": "m", "message": message, "done": False, **fields}).encode()


def streamed(*lines: bytes, config: LLMConfig = CONFIG) -> tuple[list[StreamEvent], LLMResponse[str]]:
    """Read the lines of a stream and its end."""
    answer = Answer(config)
    reader = OllamaChat().reader(answer)
    events = [event for each in lines for event in reader.decode_event("", each)]
    events += reader.end()
    return events, answer.result()


def test_an_answer_with_everything_is_read() -> None:
    response = whole(
        {
            "role": "assistant",
            "content": "Hi",
            "thinking": "Hm.",
            "tool_calls": [{"id": "c", "function": {"index": 0, "name": "look", "arguments": {"a": 1}}}],
            "unknown": 1,
        },
        prompt_eval_count=3,
        eval_count=2,
        total_duration=7,
    )
    assert (response.text, response.reasoning, response.model) == ("Hi", (Reasoning("Hm."),), "m")
    assert (response.finish, response.finish_wire, response.usage) == ("tool_calls", "stop", Usage(3, 2))
    assert [(call.id, call.name, call.arguments) for call in response.tool_calls] == [("c", "look", {"a": 1})]


@pytest.mark.parametrize(
    ("word", "finish", "wire"),
    [
        ("stop", "stop", "stop"),
        ("length", "length", "length"),
        ("load", "other", "load"),
        ("something", "other", "something"),
        (None, None, None),
        ("", None, None),
        (7, None, None),
    ],
)
def test_a_reason_is_understood_or_kept_and_done_needs_none(word: JSON, finish: object, wire: object) -> None:
    for response in (whole({"content": "Hi"}, done_reason=word), streamed(line({}, done=True, done_reason=word))[1]):
        assert (response.finish, response.finish_wire, response.complete) == (finish, wire, True)


def test_done_is_the_only_end() -> None:
    with pytest.raises(StreamInterruptedError) as caught:
        streamed(line({"content": "Hi"}), line({"content": "!"}, done_reason="stop"))
    assert caught.value.partial_text == "Hi!"
    with pytest.raises(StreamInterruptedError):
        streamed(line({"content": "Hi"}, done="true"))
    with pytest.raises(LLMError, match="held no answer"):
        streamed()
    with pytest.raises(LLMError, match="does not say that it is done"):
        whole({"content": "Hi"}, done=False)
    assert not streamed(line({"content": "Hi"}), config=LENIENT)[1].complete


def test_the_last_line_may_say_something_and_nothing_follows_it() -> None:
    events, response = streamed(line({"content": "Hi"}, **END), line({"content": "more"}))
    assert events == [TextDelta("Hi"), Finished("stop")]
    assert response.text == "Hi"
    assert streamed(b'{"done": true}')[1].text == ""


def test_an_error_line_after_good_lines_ends_the_stream() -> None:
    for error in ("out of memory", {"message": "out of memory"}):
        with pytest.raises(LLMError) as caught:
            streamed(line({"content": "Hi"}), json.dumps({"error": error}).encode())
        assert (caught.value.reason, caught.value.provider_message) == ("server", "out of memory")
    with pytest.raises(LLMError) as caught:
        read({"error": "prompt too long; exceeded max context length by 3 tokens"})
    assert caught.value.reason == "context_length"


def test_every_entry_is_a_call_of_its_own() -> None:
    def call(id_: JSON, arguments: JSON) -> JSON:
        return {"id": id_, "function": {"index": 0, "name": "look", "arguments": arguments}}

    calls = [call("c", {"a": 1}), call("c", {"a": 2}), call(None, None), call(7, '{"a": 4}'), call("", {})]
    for response in (
        whole({"tool_calls": calls}),
        streamed(*(line({"content": "", "tool_calls": [each]}) for each in calls), line({}, **END))[1],
    ):
        assert [each.arguments for each in response.tool_calls] == [{"a": 1}, {"a": 2}, {}, {"a": 4}, {}]
        assert response.tool_calls[0].id == "c"
        assert len({each.id for each in response.tool_calls}) == 5


def test_arguments_that_are_no_object_are_kept_as_they_came() -> None:
    response = whole({"tool_calls": [{"function": {"name": "look", "arguments": [1]}}]})
    assert (response.tool_calls[0].arguments, response.tool_calls[0].raw_arguments) == (None, "[1]")


@pytest.mark.parametrize(
    ("prompt", "said", "usage"),
    [
        (3, 2, Usage(3, 2)),
        (None, None, NO_USAGE),
        (None, 2, Usage(0, 2, estimated=True)),
        (3, "x", Usage(3, 0, estimated=True)),
        (-3, 2, Usage(0, 2, estimated=True)),
    ],
)
def test_a_count_that_is_missing_is_no_zero(prompt: JSON, said: JSON, usage: Usage) -> None:
    assert whole({"content": "Hi"}, prompt_eval_count=prompt, eval_count=said).usage == usage


@pytest.mark.parametrize(
    "body",
    [
        b"<html></html>",
        b"null",
        b"[]",
        b"{}",
        b'{"done": true, "message": []}',
        b'{"done": true, "message": {"content": [{"type": "text", "text": "Hi"}]}}',
        b'{"done": true, "message": {"tool_calls": [{"function": {}}]}}',
        b'{"done": true, "message": {"tool_calls": [{}]}}',
        b'{"done": true, "message": {}, "x": ' + b"[" * 600 + b"]" * 600 + b"}",
    ],
)
def test_what_is_no_answer_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(LLMError) as caught:
        read(body)
    assert caught.value.reason == "protocol"


MESSAGE: JSON = {
    "role": "assistant",
    "content": "Hi",
    "thinking": "Hm.",
    "tool_calls": [{"id": "c", "function": {"name": "look", "arguments": {"a": 1}}}],
}
LINES: Sequence[JSON] = (
    {"model": "m", "message": MESSAGE, "done": False},
    {"model": "m", "message": {"content": ""}, **END, "prompt_eval_count": 1, "eval_count": 2},
)


@given(mutated({"model": "m", "message": MESSAGE, **END, "prompt_eval_count": 1, "eval_count": 2}))
def test_no_whole_answer_escapes_untyped(body: JSON) -> None:
    with suppress(LLMError):
        read(body)


@given(st.tuples(*map(mutated, LINES)))
def test_no_stream_escapes_untyped(lines: tuple[JSON, ...]) -> None:
    with suppress(LLMError):
        streamed(*(json.dumps(each).encode() for each in lines))
