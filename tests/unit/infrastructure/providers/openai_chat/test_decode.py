"""Answers of the chat dialect are read as they were meant, whatever a server does, and nothing escapes untyped."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, LLMProtocolError, StreamInterruptedError, llm_error
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
from loomwire.domain.messages import Reasoning
from loomwire.domain.pricing import Usage
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.openai_chat.chat import OpenAIChat
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.openai_chat.reasoning import MOST_ITEMS
from loomwire.infrastructure.providers.openai_chat.usage import read_usage
from loomwire.infrastructure.providers.wire.answer import MOST_CALLS, Answer
from loomwire.infrastructure.providers.wire.usage import MOST_TOKENS

CONFIG = LLMConfig.custom("m", name="vendor")
DONE = b"[DONE]"


def whole(message: JSON, finish: JSON = "stop", **fields: JSON) -> LLMResponse[str]:
    """Read a whole answer with one choice."""
    return read({"choices": [{"index": 0, "message": message, "finish_reason": finish}], **fields})


def read(body: JSON | bytes) -> LLMResponse[str]:
    """Read a whole answer."""
    answer = Answer(CONFIG)
    OpenAIChat().decode(body if isinstance(body, bytes) else json.dumps(body).encode(), answer)
    return answer.result()


def chunk(delta: JSON, finish: JSON = None, **fields: JSON) -> bytes:
    """Return one chunk of a stream."""
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **fields}).encode()


def streamed(*chunks: bytes, config: LLMConfig = CONFIG) -> tuple[list[StreamEvent], LLMResponse[str]]:
    """Read the chunks of a stream and its end."""
    answer = Answer(config)
    reader = OpenAIChat().reader(answer)
    events = [event for data in chunks for event in reader.decode_event("message", data)]
    events += reader.end()
    return events, answer.result()


def fragments(*calls: JSON) -> tuple[list[StreamEvent], LLMResponse[str]]:
    """Read a stream of fragments of tool calls, one a chunk."""
    return streamed(*(chunk({"tool_calls": [call]}) for call in calls), chunk({}, "tool_calls"), DONE)


def function(name: str | None = None, arguments: JSON = None) -> dict[str, JSON]:
    """Return the function of a fragment."""
    return {"name": name, "arguments": arguments} if name is not None else {"arguments": arguments}


def test_an_answer_with_everything_is_read() -> None:
    response = whole(
        {"role": "assistant", "content": "Hi", "reasoning_content": "Hm.", "unknown": [1]},
        id="a-1",
        model="m-2",
        usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        service_tier="x",
    )
    assert (response.text, response.reasoning, response.finish) == ("Hi", (Reasoning("Hm."),), "stop")
    assert (response.response_id, response.model, response.usage) == ("a-1", "m-2", Usage(3, 2, reported_total=5))


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("refusal", "content_filter"),
        ("insufficient_system_resource", "other"),
    ],
)
def test_the_vendors_word_for_the_end_is_mapped_and_kept(word: JSON, finish: str) -> None:
    response = whole({"content": "x"}, word)
    assert (response.finish, response.finish_wire) == (finish, str(word))


@pytest.mark.parametrize("word", [None, "", {}, [], 1, 0, False, 1.5])
def test_an_answer_may_end_without_a_word(word: JSON) -> None:
    response = whole({"content": "x"}, word)
    assert (response.finish, response.finish_wire) == (None, None)


def test_a_refusal_is_kept_beside_its_finish() -> None:
    assert whole({"content": None, "refusal": "No."}).refusal == "No."
    events, response = streamed(chunk({"refusal": "N"}), chunk({"refusal": "o."}), chunk({}, "stop"), DONE)
    assert (response.refusal, response.text, events) == ("No.", "", [Finished("stop")])


def test_an_empty_text_with_a_finish_reason_is_an_answer() -> None:
    assert whole({"content": ""}, "length").text == ""


def test_content_may_be_a_list_with_thinking() -> None:
    thinking: dict[str, JSON] = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}, 5], "closed": True}
    response = whole({"content": [thinking, 7, {"type": "text", "text": "Hi"}, {"type": "reference", "ids": [1]}]})
    assert response.text == "Hi"
    kept = {**thinking, "thinking": [{"type": "text", "text": "Hm."}]}
    assert response.reasoning == (Reasoning("Hm.", wire=kept, origin="openai_chat"),)


def test_streamed_thinking_parts_become_one_item() -> None:
    def part(text: str) -> bytes:
        return chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]})

    events, response = streamed(part("H"), part(""), part("m."), chunk({"content": "Hi"}, "stop"), DONE)
    assert events[:3] == [ReasoningDelta("H"), ReasoningDelta("m."), TextDelta("Hi")]
    (item,) = response.reasoning
    assert (item.text, item.wire) == ("Hm.", {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]})


def test_thinking_under_two_names_and_with_details_counts_once() -> None:
    detail: dict[str, JSON] = {"type": "reasoning.text", "text": "Hm.", "signature": None, "index": 0}
    response = whole({"content": "x", "reasoning": "Hm.", "reasoning_content": "Hm.", "reasoning_details": [detail]})
    assert [item.text for item in response.reasoning] == ["Hm."]
    assert response.reasoning[0].wire == detail


def test_streamed_details_are_put_together_and_encrypted_ones_stay_whole() -> None:
    def details(*items: JSON) -> bytes:
        return chunk({"reasoning_details": list(items)})

    events, response = streamed(
        details({"type": "reasoning.text", "text": "H", "index": 0, "format": "f"}),
        details({"type": "reasoning.text", "text": "m.", "index": 0}),
        details({"type": "reasoning.text", "text": None, "signature": "s", "index": 0}),
        details({"type": "reasoning.summary", "summary": "In short.", "index": 1}),
        details({"type": "reasoning.encrypted", "data": "x", "id": "t1", "index": 2}),
        details({"type": "reasoning.encrypted", "data": "y", "id": "t2", "index": 2}, "nonsense"),
        chunk({"content": "Hi"}, "stop"),
        DONE,
    )
    assert [event.text for event in events if isinstance(event, ReasoningDelta)] == ["H", "m.", "In short."]
    assert [(item.text, item.signature, item.id) for item in response.reasoning] == [
        ("Hm.", "s", None),
        ("In short.", None, None),
        ("", None, "t1"),
        ("", None, "t2"),
    ]
    assert response.reasoning[0].wire == {
        "type": "reasoning.text",
        "text": "Hm.",
        "index": 0,
        "format": "f",
        "signature": "s",
    }


def test_think_tags_in_text_stay_text() -> None:
    assert whole({"content": "<think>Hm.</think>Hi"}).text == "<think>Hm.</think>Hi"


def test_a_stream_becomes_events_and_the_same_answer() -> None:
    events, response = streamed(
        chunk({"role": "assistant", "content": ""}, None, id="", model=""),
        chunk({"content": "Hel"}, None, id="a-1", model="m-2", usage=None),
        chunk({"content": "lo"}, "stop", id="a-1", model="m-2"),
        json.dumps({"id": "a-1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}).encode(),
        DONE,
    )
    assert events == [TextDelta("Hel"), TextDelta("lo"), UsageUpdate(Usage(3, 2)), Finished("stop")]
    assert (response.text, response.response_id, response.model) == ("Hello", "a-1", "m-2")


def test_only_the_first_choice_counts() -> None:
    both: JSON = [{"index": 1, "delta": {"content": "B"}}, {"index": 0, "delta": {"content": "A"}}]
    _, response = streamed(json.dumps({"choices": both}).encode(), chunk({}, "stop"), DONE)
    assert response.text == "A"
    messages: JSON = [{"index": 1, "message": {"content": "B"}}, {"index": 0, "message": {"content": "A"}}]
    assert read({"choices": messages}).text == "A"
    assert read({"choices": [{"index": 5, "message": {"content": "C"}}]}).text == "C"


def test_deltas_after_the_finish_reason_still_count_and_the_last_reason_holds() -> None:
    _, response = streamed(chunk({"content": "a"}, "length"), chunk({"content": "b"}), chunk(None, "stop"), DONE)
    assert (response.text, response.finish) == ("ab", "stop")


def test_the_body_may_end_after_a_finish_reason_without_a_done_marker() -> None:
    events, response = streamed(chunk({"content": "a"}, "stop"))
    assert (response.text, response.complete, events[-1]) == ("a", True, Finished("stop"))


def test_a_done_marker_without_a_finish_reason_is_an_end() -> None:
    _, response = streamed(chunk({"content": "a"}), DONE, DONE)
    assert (response.text, response.finish) == ("a", None)


def test_a_body_that_ends_with_neither_is_an_interruption() -> None:
    with pytest.raises(StreamInterruptedError) as caught:
        streamed(chunk({"content": "a"}))
    assert caught.value.partial_text == "a"


def test_a_lenient_target_accepts_it_and_says_so_but_never_accepts_nothing() -> None:
    lenient = LLMConfig(type="custom", model="m", lenient_terminal=True)
    _, response = streamed(chunk({"content": "a"}), config=lenient)
    assert (response.text, response.complete) == ("a", False)
    with pytest.raises(StreamInterruptedError):
        streamed(chunk({}), config=lenient)


def test_a_stream_that_only_says_done_is_no_answer() -> None:
    with pytest.raises(LLMProtocolError, match="no answer"):
        streamed(chunk({"role": "assistant", "content": ""}), DONE)


def test_fragments_without_id_continue_the_call_at_their_index() -> None:
    events, response = fragments(
        {"index": 0, "id": "a", "function": function("f", "")},
        {"index": 1, "id": "b", "function": function("g", '{"y":')},
        {"index": 0, "function": function(None, '{"x"')},
        {"index": 1, "function": function(None, "2}")},
        {"index": 0, "id": "", "function": function(None, ":1}")},
    )
    assert response.tool_calls == (ToolCall("a", "f", {"x": 1}), ToolCall("b", "g", {"y": 2}))
    assert events[:4] == [
        ToolCallStart(0, "a", "f"),
        ToolCallStart(1, "b", "g"),
        ToolCallDelta(1, '{"y":'),
        ToolCallDelta(0, '{"x"'),
    ]
    assert events[-1] == Finished("tool_calls")


def test_a_new_id_at_a_used_index_is_a_new_call() -> None:
    _, response = fragments(
        {"index": 0, "id": "a", "function": function("f", "{}")},
        {"index": 0, "id": "b", "function": function("g", '{"y":2}')},
        {"index": 0, "id": "b", "function": function("g", "")},
    )
    assert response.tool_calls == (ToolCall("a", "f", {}), ToolCall("b", "g", {"y": 2}))


def test_calls_without_index_are_told_apart_by_id_or_name() -> None:
    _, by_id = fragments(
        {"id": "a", "function": function("f", '{"x":')},
        {"id": "a", "function": function("f", "1}")},
        {"id": "b", "function": function("f", "{}")},
    )
    assert by_id.tool_calls == (ToolCall("a", "f", {"x": 1}), ToolCall("b", "f", {}))
    _, by_name = fragments(
        {"id": "", "function": function("f", '{"x":')},
        {"function": function(None, "1}")},
        {"id": None, "function": function("f", "{}")},
    )
    assert [call.arguments for call in by_name.tool_calls] == [{"x": 1}, {}]
    assert len({call.id for call in by_name.tool_calls}) == 2


def test_calls_that_share_index_and_have_no_ids_are_told_apart_by_whole_arguments() -> None:
    _, response = fragments(
        {"index": 0, "function": function("f", '{"x":')},
        {"index": 0, "function": function("f", "1}")},
        {"index": 0, "function": function("f", '{"x":2}')},
    )
    assert [call.arguments for call in response.tool_calls] == [{"x": 1}, {"x": 2}]


def test_one_id_at_two_indexes_is_two_calls_with_two_ids() -> None:
    _, response = fragments(
        {"index": 0, "id": "a", "function": function("f", "{}")},
        {"index": 1, "id": "a", "function": function("g", "{}")},
    )
    first, second = response.tool_calls
    assert (first.id, first.name, second.name) == ("a", "f", "g")
    assert second.id not in ("", "a")


def test_a_fragment_at_a_new_index_may_belong_to_a_known_id_or_to_the_last_call() -> None:
    _, response = fragments(
        {"id": "a", "function": function("f", '{"x"')},
        {"index": 3, "id": "a", "function": function(None, ":")},
        {"index": 4, "function": function(None, "1}")},
    )
    assert response.tool_calls == (ToolCall("a", "f", {"x": 1}),)


def test_a_name_that_comes_late_is_announced_when_it_comes() -> None:
    events, response = fragments(
        {"index": 0, "id": "a", "function": function(None, '{"x"')},
        {"index": 0, "function": function("f", ":1}")},
        {"index": 1, "id": "b"},
        {"index": 1, "function": function("g")},
    )
    assert events[:4] == [
        ToolCallStart(0, "a", "f"),
        ToolCallDelta(0, '{"x"'),
        ToolCallDelta(0, ":1}"),
        ToolCallStart(1, "b", "g"),
    ]
    assert response.tool_calls == (ToolCall("a", "f", {"x": 1}), ToolCall("b", "g", {}))


def test_a_call_that_never_gets_a_name_is_a_protocol_error() -> None:
    with pytest.raises(LLMProtocolError, match="without a name"):
        fragments({"index": 0, "id": "a", "function": function(None, "{}")})


@pytest.mark.parametrize("arguments", [None, "", "{}", "null", " "])
def test_no_arguments_of_any_kind_are_an_empty_object(arguments: JSON) -> None:
    _, response = fragments({"index": 0, "id": "a", "function": function("f", arguments)})
    assert response.tool_calls == (ToolCall("a", "f", {}),)
    assert whole({"tool_calls": [{"id": "a", "function": {"name": "f"}}]}, "stop").tool_calls == (
        ToolCall("a", "f", {}),
    )


def test_arguments_that_come_as_an_object_are_taken_as_one() -> None:
    response = whole({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"x": [1]}}}]})
    assert response.tool_calls == (ToolCall("a", "f", {"x": [1]}),)


def test_arguments_cut_by_the_token_limit_are_kept_as_text() -> None:
    response = whole({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": '{"x":'}}]}, "length")
    assert (response.finish, response.tool_calls) == ("length", (ToolCall("a", "f", None, '{"x":'),))


def test_old_function_calls_and_custom_tools_are_calls_too() -> None:
    _, old = streamed(
        chunk({"function_call": {"name": "f", "arguments": ""}}),
        chunk({"function_call": {"arguments": '{"x":1}'}}),
        chunk({}, "function_call"),
        DONE,
    )
    assert [(call.name, call.arguments) for call in old.tool_calls] == [("f", {"x": 1})]
    custom = whole({"tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}]})
    assert custom.tool_calls == (ToolCall("a", "sql", None, "SELECT 1"),)


def test_what_comes_beside_a_call_is_kept_to_be_sent_back() -> None:
    response = whole({"tool_calls": [{"id": "a", "function": {"name": "f"}, "extra_content": {"google": {"s": "x"}}}]})
    assert response.tool_calls[0].signature == '{"google":{"s":"x"}}'


@pytest.mark.parametrize("calls", [None, []])
def test_no_tool_calls_beside_text_are_none(calls: JSON) -> None:
    assert whole({"content": "x", "tool_calls": calls}).tool_calls == ()


@given(st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=3), min_size=1), st.randoms())
def test_fragments_interleaved_at_random_make_the_same_calls(wanted: list[dict[str, str]], chance: Random) -> None:
    queues: list[list[JSON]] = []
    for index, arguments in enumerate(wanted):
        raw = json.dumps(arguments)
        cut = chance.randint(0, len(raw))
        first: JSON = {"index": index, "id": f"c{index}", "function": function(f"f{index}", raw[:cut])}
        queues.append([first, *({"index": index, "function": function(None, piece)} for piece in raw[cut:])])
    sent: list[JSON] = []
    while ready := [queue for queue in queues if queue]:
        sent.append(chance.choice(ready).pop(0))
    _, response = fragments(*sent)
    read_back = {call.id: call.arguments for call in response.tool_calls}
    assert read_back == {f"c{index}": arguments for index, arguments in enumerate(wanted)}


def test_usage_in_several_chunks_is_replaced_not_added() -> None:
    def used(count: int) -> JSON:
        return {"prompt_tokens": 9, "completion_tokens": count}

    _, response = streamed(
        chunk({"content": "a"}, None, usage=used(1)),
        chunk({"content": "b"}, "stop", x_groq={"usage": used(2)}),
        chunk({}, None, x_groq={"id": "req"}),
        chunk({}, None, usage={}),
        DONE,
    )
    assert response.usage == Usage(9, 2)


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (None, None),
        ([], None),
        ({}, None),
        ({"total_tokens": 5}, None),
        ({"prompt_tokens": "3", "completion_tokens": True}, None),
        ({"prompt_tokens": 3, "completion_tokens": 2.0}, Usage(3, 2)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 15,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(10, 5, 4, 2, 3, reported_total=15),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 8}, Usage(9, 1, 8)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 7}, Usage(9, 1, 7)),
        ({"prompt_tokens": 9, "prompt_tokens_details": None, "completion_tokens_details": 3}, Usage(9)),
        (
            {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 16, "reasoning_tokens": 5},
            Usage(9, 7, reasoning_tokens=5, reported_total=16),
        ),
        ({"prompt_tokens": -1, "completion_tokens": 2}, Usage(0, 2, estimated=True)),
        ({"prompt_tokens": 10**30, "completion_tokens": 2}, Usage(MOST_TOKENS, 2, estimated=True)),
        (
            {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 9}},
            Usage(3, 2, 3, estimated=True),
        ),
        ({"prompt_tokens": 3, "completion_tokens": 2, "reasoning_tokens": 9}, Usage(3, 2, 0, 0, 2, estimated=True)),
    ],
)
def test_usage_of_any_shape_is_inclusive_and_believable(raw: object, usage: Usage | None) -> None:
    assert read_usage(raw, ChatQuirks()) == usage


def test_reasoning_beside_the_completion_is_added_for_vendors_known_for_it() -> None:
    raw = {"prompt_tokens": 9, "completion_tokens": 2, "reasoning_tokens": 5}
    beside = read_usage(raw, ChatQuirks(reasoning_beside=True))
    assert beside == Usage(9, 7, reasoning_tokens=5)
    inside = read_usage({**raw, "completion_tokens": 7, "total_tokens": 16}, ChatQuirks(reasoning_beside=True))
    assert inside == Usage(9, 7, reasoning_tokens=5, reported_total=16)


BAD_BODIES: Mapping[str, JSON | bytes] = {
    "html": b"<html>Welcome</html>",
    "empty": b"",
    "null": None,
    "text": "Hi",
    "list": [],
    "no choices": {},
    "null choices": {"choices": None},
    "empty choices": {"choices": []},
    "choices of text": {"choices": "x"},
    "a choice of text": {"choices": ["x"]},
    "no message": {"choices": [{"index": 0, "finish_reason": "stop"}]},
    "null message": {"choices": [{"index": 0, "message": None, "finish_reason": "stop"}]},
    "message of text": {"choices": [{"message": "Hi"}]},
    "silent message": {"choices": [{"message": {"role": "assistant", "content": None}, "finish_reason": None}]},
    "calls of text": {"choices": [{"message": {"tool_calls": "x"}}]},
    "function of text": {"choices": [{"message": {"tool_calls": [{"function": "x"}]}}]},
    "nameless call": {"choices": [{"message": {"tool_calls": [{"id": "a"}]}}]},
    "deep": b'{"choices":' + b"[" * 100_000,
    "deeper than allowed": b'{"choices":[{"message":{"content":"x"}}],"y":' + b"[" * 600 + b"]" * 600 + b"}",
    "long number": b'{"usage":{"prompt_tokens":' + b"9" * 100_000 + b"}}",
    "cut": b'{"choices":[{"message":{"content":"Hi',
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_that_is_no_answer_is_a_protocol_error(name: str) -> None:
    with pytest.raises(LLMProtocolError) as caught:
        read(BAD_BODIES[name])
    assert caught.value.reason == "protocol"
    assert "Welcome" not in str(caught.value)


@pytest.mark.parametrize(
    "delta",
    [
        {"content": 0},
        {"content": {}},
        {"content": []},
        {"content": [{"type": "text", "text": ""}]},
        {"reasoning": {"a": 1}, "reasoning_content": 7, "reasoning_details": "x", "refusal": 9},
    ],
)
def test_a_surprising_type_where_text_belongs_is_ignored(delta: JSON) -> None:
    _, response = streamed(chunk(delta, "stop", id=7, model=[]), DONE)
    assert (response.text, response.reasoning, response.refusal) == ("", (), None)
    assert (response.response_id, response.model) == (None, "m")


STRANGE: list[JSON] = [5, True, {"a": 1}, [5, None], [{"type": "text", "text": 5}], [{"type": "image_url"}], [[]]]


@pytest.mark.parametrize("content", STRANGE)
def test_content_of_an_unknown_kind_is_never_an_empty_success(content: JSON) -> None:
    for read_it in (whole, lambda message: streamed(chunk(message, "stop"), DONE)):
        with pytest.raises(LLMProtocolError) as caught:
            read_it({"content": content})
        assert caught.value.reason == "protocol"


@pytest.mark.parametrize("content", STRANGE)
def test_content_of_an_unknown_kind_beside_an_answer_is_passed_over(content: JSON) -> None:
    assert whole({"content": content, "refusal": "No."}).refusal == "No."
    assert whole({"content": content, "reasoning": "Hm."}).reasoning == (Reasoning("Hm."),)
    assert len(whole({"content": content, "tool_calls": [{"function": function("f")}]}).tool_calls) == 1
    assert streamed(chunk({"content": "x"}), chunk({"content": content}, "stop"), DONE)[1].text == "x"


@pytest.mark.parametrize(
    "content",
    [
        {"text": "the answer"},
        ["the answer"],
        ["the ", {"type": "text", "text": "answer"}],
        [{"type": "output_text", "text": "the answer"}],
        [None, {"text": "the answer"}, {"type": "reference", "ids": [1]}],
    ],
)
def test_text_is_read_in_whatever_part_it_stands(content: JSON) -> None:
    assert whole({"content": content}).text == "the answer"
    assert streamed(chunk({"content": content}, "stop"), DONE)[1].text == "the answer"


def test_names_that_a_server_chooses_are_short_printable_and_hold_no_key() -> None:
    config = LLMConfig.custom("m", name="vendor", api_key="canary-key-0123456789")
    answer = Answer(config)
    body: dict[str, JSON] = {
        "id": "canary-key-0123456789" + "i" * 200,
        "model": "\x1b[2J" + "m" * 1_000_000,
        "choices": [{"message": {"content": "x"}, "finish_reason": "w" * 500}],
    }
    OpenAIChat().decode(json.dumps(body).encode(), answer)
    response = answer.result()
    assert response.response_id == "[redacted]" + "i" * 118
    assert response.model == "[2J" + "m" * 124
    assert response.finish_wire == "w" * 128


def test_a_server_that_repeats_the_name_in_each_fragment_makes_one_call_in_linear_time() -> None:
    def seconds(count: int) -> float:
        calls: list[JSON] = [{"index": 0, "function": function("f", piece)} for piece in ['{"a":[', *["{},"] * count]]
        chunks = [chunk({"tool_calls": [call]}) for call in calls]
        reader = OpenAIChat().reader(answer := Answer(CONFIG))
        start = time.perf_counter()
        for data in chunks:
            reader.decode_event("message", data)
        took = time.perf_counter() - start
        assert len(answer.calls) == 1
        return took

    assert min(seconds(8000) for _ in range(2)) < 12 * min(seconds(2000) for _ in range(3))


@pytest.mark.parametrize(
    ("pieces", "read"),
    [
        (["{}", '{"a":1}'], [{"a": 1}]),
        (['{"a":', "{}", "}"], [{"a": {}}]),
        (['{"a":1}', '{"a":2}'], [{"a": 1}, {"a": 2}]),
        (['{"a":"}', '{"}'], [{"a": "}{"}]),
    ],
)
def test_where_the_name_comes_with_each_fragment_whole_objects_are_calls(
    pieces: Sequence[str], read: Sequence[JSON]
) -> None:
    calls: list[JSON] = [{"index": 0, "function": function("f", piece)} for piece in pieces]
    _, response = fragments(*calls)
    assert [call.arguments for call in response.tool_calls] == read


def test_another_name_after_an_empty_object_is_another_call() -> None:
    _, response = fragments(
        {"index": 0, "function": function("f", "{}")}, {"index": 0, "function": function("g", '{"a":1}')}
    )
    assert [(call.name, call.arguments) for call in response.tool_calls] == [("f", {}), ("g", {"a": 1})]


@pytest.mark.parametrize(
    "message",
    [
        {"tool_calls": [{"function": {"name": "f"}}] * (MOST_CALLS + 1)},
        {"reasoning_details": [{"type": f"reasoning.{n}"} for n in range(MOST_ITEMS + 1)]},
    ],
)
def test_more_items_than_any_answer_has_are_refused(message: JSON) -> None:
    with pytest.raises(LLMProtocolError) as caught:
        whole(message)
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize("field", ["index", "id"])
def test_surprising_types_in_a_call_are_ignored(field: str) -> None:
    _, response = fragments({field: [1], "function": function("f", 5)})
    (call,) = response.tool_calls
    assert (call.name, call.arguments) == ("f", {})


@pytest.mark.parametrize(
    ("event", "data", "reason"),
    [
        ("message", {"error": {"message": "no", "code": 429}}, "throttled"),
        ("message", {"error": "no"}, "server"),
        ("message", {"object": "error", "message": "no", "type": "BadRequestError", "code": 400}, "invalid_request"),
        ("message", {"choices": [], "x_groq": {"error": "no"}}, "server"),
        ("message", {"choices": [{"index": 0, "delta": {}, "error": {"code": 502, "message": "no"}}]}, "server"),
        ("message", {"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}, "server"),
        (
            "message",
            {"choices": [{"index": 0, "finish_reason": "stop", "native_finish_reason": "network_error"}]},
            "server",
        ),
        ("error", {"error": {"message": "no", "type": "invalid_request_error", "status_code": 400}}, "invalid_request"),
        ("error", {"message": "no", "code": 503}, "overloaded"),
    ],
)
def test_an_error_inside_a_stream_is_raised_by_what_it_says(event: str, data: JSON, reason: str) -> None:
    reader = OpenAIChat().reader(Answer(CONFIG))
    with pytest.raises(LLMError) as caught:
        reader.decode_event(event, json.dumps(data).encode())
    assert (caught.value.reason, caught.value.reason != "server" or caught.value.retryable) == (reason, True)


def test_an_error_event_may_be_plain_words() -> None:
    reader = OpenAIChat().reader(Answer(CONFIG))
    with pytest.raises(LLMError) as caught:
        reader.decode_event("error", b"it broke")
    assert caught.value.provider_message == "it broke"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"error": {"message": "no", "code": "insufficient_quota"}}, "quota_exhausted"),
        ({"error": "Unexpected endpoint. Returning 200 anyway"}, "server"),
        ({"choices": [{"message": {"content": "x"}, "error": {"code": 429, "message": "no"}}]}, "throttled"),
        ({"error": {"code": 400, "message": "no"}, "choices": [{"message": {"content": "x"}}]}, "invalid_request"),
    ],
)
def test_an_error_inside_a_whole_answer_is_raised_by_what_it_says(body: JSON, reason: str) -> None:
    with pytest.raises(LLMError) as caught:
        read(body)
    assert caught.value.reason == reason


def test_a_long_answer_full_of_brackets_is_not_deep() -> None:
    text = "[{" * 2000
    assert whole({"content": text}).text == text


def call(name: str, arguments: str, **more: JSON) -> dict[str, JSON]:
    """Return a whole tool call."""
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


@pytest.mark.parametrize("indexes", [(None, None), (0, 1), (0, 0)])
def test_two_whole_calls_with_one_id_stay_two_calls(indexes: tuple[int | None, int | None]) -> None:
    calls: JSON = [
        call("look", '{"at": 1}', id="call", index=indexes[0]),
        call("look", '{"at": 2}', id="call", index=indexes[1]),
    ]
    read_whole = whole({"content": None, "tool_calls": calls}, "tool_calls")
    _, read_streamed = streamed(chunk({"tool_calls": calls}), chunk({}, "tool_calls"), DONE)
    for response in (read_whole, read_streamed):
        assert [made.arguments for made in response.tool_calls] == [{"at": 1}, {"at": 2}]
        assert response.tool_calls[0].id == "call" != response.tool_calls[1].id


def message_chunk(text: str, finish: JSON = None) -> bytes:
    """Return an event that says a message where a delta belongs."""
    return json.dumps({"choices": [{"index": 0, "message": {"content": text}, "finish_reason": finish}]}).encode()


def test_a_message_in_place_of_a_delta_is_read_once() -> None:
    _, response = streamed(message_chunk("Hello.", "stop"), DONE)
    assert response.text == "Hello."
    _, response = streamed(chunk({"content": "Hel"}), chunk({"content": "lo."}), message_chunk("Hello.", "stop"), DONE)
    assert response.text == "Hello."


def test_a_stream_of_growing_messages_is_refused_and_not_guessed_at() -> None:
    with pytest.raises(LLMProtocolError, match="whole messages"):
        streamed(message_chunk("Hel"), message_chunk("Hello.", "stop"), DONE)


def test_an_event_without_data_is_a_heartbeat() -> None:
    _, response = streamed(b"", chunk({"content": "x"}, "stop"), b"", DONE)
    assert response.text == "x"


@pytest.mark.parametrize("word", ["detail", "message"])
def test_a_gateways_word_in_the_middle_of_a_stream_is_an_error(word: str) -> None:
    with pytest.raises(LLMError) as caught:
        streamed(chunk({"content": "Hel"}), json.dumps({word: "upstream went away"}).encode(), DONE)
    assert not isinstance(caught.value, StreamInterruptedError)  # the stream around it adds what was delivered


def test_a_count_that_is_no_number_is_an_estimate_and_no_fact() -> None:
    usage = read_usage({"prompt_tokens": True, "completion_tokens": 3}, ChatQuirks())
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (0, 3, True)


def test_a_chunk_may_have_no_choices_or_a_null_delta() -> None:
    _, response = streamed(b'{"prompt_filter_results":[]}', chunk(None), chunk({"content": "x"}, "stop"), DONE)
    assert response.text == "x"


JUNK: st.SearchStrategy[JSON] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just("stop"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["content", "reasoning", "reasoning_details", "tool_calls", "function_call", "refusal", "index", "id", "name"]
)
SHAPED: st.SearchStrategy[JSON] = st.recursive(
    JUNK, lambda inner: st.dictionaries(FIELDS, inner, max_size=4) | st.lists(inner, max_size=3), max_leaves=10
)
CHOICE = st.dictionaries(
    st.sampled_from(["index", "delta", "message", "finish_reason", "native_finish_reason", "error"]), SHAPED
)
BODY = st.dictionaries(
    st.sampled_from(["id", "model", "choices", "usage", "error", "object", "x_groq"]),
    SHAPED | st.lists(CHOICE, max_size=2),
)


@given(BODY.map(lambda body: json.dumps(body).encode()) | st.binary(max_size=60))
def test_no_body_makes_the_reading_fail_untyped(body: bytes) -> None:
    answer = Answer(CONFIG)
    try:
        OpenAIChat().decode(body, answer)
    except LLMError:
        return
    assert answer.result().finish is not None or answer.delivered or answer.refusal


@given(st.lists(BODY.map(lambda body: json.dumps(body).encode()) | st.binary(max_size=60) | st.just(DONE), max_size=4))
def test_no_stream_makes_the_reading_fail_untyped_or_ends_in_silence(chunks: Sequence[bytes]) -> None:
    try:
        events, response = streamed(*chunks)
    except LLMError:
        return
    assert isinstance(events[-1], Finished)
    assert response.finish_wire is not None or response.text or response.tool_calls or response.reasoning
    assert [event.call for event in events if isinstance(event, ToolCallEnd)] == list(response.tool_calls)


def test_the_dialect_makes_errors_of_statuses_too() -> None:
    error = OpenAIChat().error_for(429, {"retry-after": "2"}, b"{}", CONFIG)
    assert (error.reason, error.retry_after) == ("throttled", 2.0)
    assert type(error) is type(llm_error("throttled", "x"))


def test_an_error_larger_than_any_error_body_is_reported_without_its_words() -> None:
    with pytest.raises(LLMError) as caught:
        read({"error": {"message": "x" * 70_000, "code": 429}})
    assert (caught.value.reason, caught.value.provider_message) == ("server", None)
