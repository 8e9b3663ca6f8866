"""Answers of the Responses API are read as they were meant, whatever a server does, and nothing escapes untyped."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, LLMProtocolError, StreamInterruptedError
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
from loomwire.domain.responses import Finish, LLMResponse
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.openai_responses.items import MOST_ITEMS
from loomwire.infrastructure.providers.openai_responses.responses import OpenAIResponses
from loomwire.infrastructure.providers.wire.answer import Answer

CONFIG = LLMConfig.custom("m", name="vendor", dialect="openai_responses")
TEXT: dict[str, JSON] = {"type": "output_text", "text": "Hi"}
SAID: dict[str, JSON] = {"type": "message", "id": "msg_1", "role": "assistant", "content": [TEXT]}
THOUGHT: dict[str, JSON] = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
CALL: dict[str, JSON] = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "look",
    "arguments": '{"city":"Rome"}',
}
LOOK = ToolCall("call_1", "look", {"city": "Rome"})


def whole(*output: JSON, status: JSON = "completed", **fields: JSON) -> LLMResponse[str]:
    """Read a whole answer."""
    return read({"status": status, "output": output, **fields})


def read(body: JSON | bytes) -> LLMResponse[str]:
    """Read a body."""
    answer = Answer(CONFIG)
    OpenAIResponses().decode(body if isinstance(body, bytes) else json.dumps(body).encode(), answer)
    return answer.result()


def event(kind: str, **fields: JSON) -> bytes:
    """Return one event of a stream."""
    return json.dumps({"type": f"response.{kind}", **fields}).encode()


def completed(*output: JSON, **fields: JSON) -> bytes:
    """Return the last event of a stream."""
    return event("completed", response={"status": "completed", "output": output, **fields})


def text(piece: JSON, **where: JSON) -> bytes:
    """Return a piece of text."""
    return event("output_text.delta", delta=piece, **where)


def added(item: JSON, **where: JSON) -> bytes:
    """Return the beginning of an item."""
    return event("output_item.added", item=item, **where)


def done(item: JSON, **where: JSON) -> bytes:
    """Return the end of an item."""
    return event("output_item.done", item=item, **where)


def streamed(*events: bytes, config: LLMConfig = CONFIG) -> tuple[list[StreamEvent], LLMResponse[str]]:
    """Read the events of a stream and its end."""
    answer = Answer(config)
    reader = OpenAIResponses().reader(answer)
    read = [each for data in events for each in reader.decode_event("message", data)]
    return [*read, *reader.end()], answer.result()


def failed(*events: bytes) -> LLMError:
    """Return the error that a stream ends with."""
    with pytest.raises(LLMError) as caught:
        streamed(*events)
    return caught.value


def test_an_answer_with_everything_is_read() -> None:
    usage: JSON = {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 14,
    }
    response = whole(THOUGHT, SAID, CALL, id="resp_1", model="m-2", usage=usage, unknown=[1])
    assert (response.text, response.tool_calls, response.finish) == ("Hi", (LOOK,), "tool_calls")
    assert response.reasoning == (Reasoning("", "gAAA", id="rs_1", wire=THOUGHT, origin="openai_responses"),)
    assert (response.response_id, response.model, response.finish_wire) == ("resp_1", "m-2", "completed")
    assert response.usage == Usage(9, 5, 4, 2, 3, reported_total=14)


@pytest.mark.parametrize(
    ("status", "details", "finish", "word"),
    [
        ("completed", None, "stop", "completed"),
        ("incomplete", {"reason": "max_output_tokens"}, "length", "max_output_tokens"),
        ("incomplete", {"reason": "content_filter"}, "content_filter", "content_filter"),
        ("incomplete", {"reason": "new_reason"}, "other", "new_reason"),
        ("incomplete", {"reason": 5}, "other", "incomplete"),
        ("incomplete", "odd", "other", "incomplete"),
        ("new_status", None, "other", "new_status"),
        (None, None, None, None),
        (5, None, None, None),
    ],
)
def test_the_state_is_the_status_and_the_reason(
    status: JSON, details: JSON, finish: Finish | None, word: str | None
) -> None:
    response = whole(SAID, status=status, incomplete_details=details)
    assert (response.finish, response.finish_wire) == (finish, word)


def test_an_answer_cut_before_its_first_word_is_one() -> None:
    response = whole(status="incomplete", incomplete_details={"reason": "content_filter"})
    assert (response.text, response.finish) == ("", "content_filter")


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_an_answer_that_is_not_there_yet_is_none(status: str) -> None:
    with pytest.raises(LLMProtocolError, match=f"its status is {status}") as caught:
        whole(status=status)
    assert "background" in caught.value.hint


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_an_answer_that_broke_off_without_a_word_is_an_error(status: str) -> None:
    with pytest.raises(LLMError) as caught:
        whole(status=status)
    assert (caught.value.reason, caught.value.provider_code) == ("server", status)


@pytest.mark.parametrize(
    ("error", "reason", "status"),
    [
        ({"code": "server_error", "message": "Sorry."}, "server", 200),
        ({"code": "rate_limit_exceeded", "message": "Slow down."}, "throttled", 429),
        ({"code": "insufficient_quota", "message": "Pay."}, "quota_exhausted", 429),
        ({"code": "invalid_prompt", "message": "No."}, "content_filter", 200),
        ({"code": "image_too_large"}, "invalid_request", 200),
        ({"code": "vector_store_timeout"}, "gateway", 200),
        ({"code": "context_length_exceeded"}, "context_length", 200),
        ({"code": ["odd"], "message": 7}, "server", 200),
        ("a text", "server", 200),
    ],
)
def test_an_error_in_the_answer_is_that_error_in_a_stream_too(error: JSON, reason: str, status: int) -> None:
    with pytest.raises(LLMError) as caught:
        whole(status="failed", error=error)
    assert (caught.value.reason, caught.value.status) == (reason, status)
    whole_response: JSON = {"status": "failed", "error": error, "output": []}
    for last in (event("failed", response=whole_response), json.dumps({"type": "error", "error": error}).encode()):
        found = failed(event("created", response={"id": "resp_1", "status": "queued"}), last)
        assert (found.reason, found.status) == (reason, status)


def test_an_error_event_may_be_flat() -> None:
    found = failed(json.dumps({"type": "error", "code": "server_error", "message": "Sorry."}).encode())
    assert (found.reason, found.provider_code, found.provider_message) == ("server", "server_error", "Sorry.")


def test_a_long_error_is_not_quoted() -> None:
    assert failed(json.dumps({"type": "error", "error": {"message": "x" * 100_000}}).encode()).provider_message is None


def test_usage_of_an_answer_that_fails_is_known() -> None:
    answer = Answer(CONFIG)
    reader = OpenAIResponses().reader(answer)
    last: JSON = {"status": "failed", "error": {"code": "server_error"}, "usage": {"input_tokens": 3}}
    with pytest.raises(LLMError):
        reader.decode_event("", event("failed", response=last))
    assert answer.usage == Usage(3)


@pytest.mark.parametrize(
    "body",
    [
        {"detail": "Not Found"},
        {"message": "no such route"},
        {"error": {"message": "overloaded"}},
        {},
        {"output": None},
        {"output": "Hi"},
        {"output": {}},
        {"output": [], "status": "completed"},
        {"output": [5, None]},
        {"output": [{"content": [TEXT]}]},
        {"output": [{"type": 5}]},
        [],
        None,
        7,
        "text",
        b"<html>",
        b"",
        b'{"output": [',
    ],
)
def test_a_body_that_is_no_answer_is_a_typed_error(body: JSON | bytes) -> None:
    with pytest.raises(LLMError):
        read(body)


@pytest.mark.parametrize("depth", [600, 20_000])
def test_an_answer_nested_too_deep_is_refused(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    body = json.dumps({"output": [SAID], "status": "completed"})[:-1] + f', "deep": {deep}}}'
    with pytest.raises(LLMError):
        read(body.encode())
    assert failed(json.dumps({"type": "x"}).encode()[:-1] + f', "deep": {deep}}}'.encode()).reason == "protocol"


def test_content_may_be_a_text_and_an_empty_message_is_an_answer() -> None:
    assert whole({**SAID, "content": "Hi"}).text == "Hi"
    assert whole({**SAID, "content": []}).text == ""
    assert whole({**SAID, "content": None}).text == ""
    assert whole({**SAID, "content": [7, TEXT, {"type": "output_audio", "data": "x"}, TEXT]}).text == "HiHi"


def test_content_of_a_kind_that_nobody_knows_is_not_taken_for_silence() -> None:
    with pytest.raises(LLMProtocolError, match="of a kind that nobody knows"):
        whole({**SAID, "content": [{"type": "output_audio", "data": "x"}]})


def test_a_refusal_is_kept_beside_its_finish() -> None:
    refused: JSON = {**SAID, "content": [{"type": "refusal", "refusal": "No."}]}
    response = whole(refused)
    assert (response.refusal, response.text, response.finish) == ("No.", "", "stop")
    pieces = [event("refusal.delta", delta=piece, item_id="msg_1") for piece in ("N", "o.")]
    events, response = streamed(added({**SAID, "content": []}), *pieces, done(refused), completed(refused))
    assert (response.refusal, events) == ("No.", [Finished("stop")])


def test_pieces_are_told_as_they_come_and_the_whole_adds_nothing() -> None:
    events, response = streamed(
        event("created", response={"id": "resp_1", "model": "m-2", "status": "in_progress"}),
        event("in_progress", response={"id": "resp_x", "model": "m-3"}),
        added({**THOUGHT, "encrypted_content": "early"}, output_index=0),
        event("reasoning_summary_text.delta", delta="Hm", item_id="rs_1", output_index=0),
        event("reasoning_summary_text.delta", delta=".", item_id="rs_1", output_index=0),
        done({**THOUGHT, "summary": [{"type": "summary_text", "text": "Hm."}]}, output_index=0),
        added({**SAID, "content": []}, output_index=1),
        text("H", item_id="msg_1", output_index=1),
        text("i", item_id="msg_1", output_index=1),
        event("output_text.done", text="Hi"),
        done(SAID, output_index=1),
        added({**CALL, "arguments": ""}, output_index=2),
        event("function_call_arguments.delta", delta='{"city":', item_id="fc_1", output_index=2),
        event("function_call_arguments.delta", delta='"Rome"}', item_id="fc_1", output_index=2),
        event("function_call_arguments.done", arguments='{"city":"Rome"}', item_id="fc_1"),
        done(CALL, output_index=2),
        completed(THOUGHT, SAID, CALL, id="resp_1", usage={"input_tokens": 1, "output_tokens": 2}),
    )
    assert events == [
        ReasoningDelta("Hm"),
        ReasoningDelta("."),
        TextDelta("H"),
        TextDelta("i"),
        ToolCallStart(0, "call_1", "look"),
        ToolCallDelta(0, '{"city":'),
        ToolCallDelta(0, '"Rome"}'),
        UsageUpdate(Usage(1, 2)),
        ToolCallEnd(0, LOOK),
        Finished("tool_calls"),
    ]
    assert (response.response_id, response.model) == ("resp_1", "m-2")
    assert [(item.text, item.signature) for item in response.reasoning] == [("Hm.", "gAAA")]


def test_a_server_may_say_everything_in_its_last_event_or_items_only_as_a_whole() -> None:
    told = [ReasoningDelta("Hm."), TextDelta("Hi"), ToolCallStart(0, "call_1", "look")]
    thought: JSON = {**THOUGHT, "content": [{"type": "reasoning_text", "text": "Hm."}]}
    last = completed(thought, SAID, CALL)
    for events in ([last], [done(thought), done(SAID), done(CALL), last], [done(CALL), last]):
        found, response = streamed(*events)
        assert (response.text, response.tool_calls) == ("Hi", (LOOK,))
        assert [each for each in told if each in found] == told
        assert sum(isinstance(each, ToolCallDelta | TextDelta | ReasoningDelta) for each in found) == 3


def test_the_last_event_may_repeat_nothing() -> None:
    _, response = streamed(text("Hi", item_id="msg_1"), completed())
    assert (response.text, response.finish) == ("Hi", "stop")
    _, response = streamed(text("Hi ", item_id="msg_1"), done({**SAID, "content": [{**TEXT, "text": ""}]}), completed())
    assert response.text == "Hi "


def test_a_whole_text_without_the_blanks_around_it_is_the_same_text() -> None:
    _, response = streamed(text(" Hi ", item_id="msg_1"), done(SAID), completed(SAID))
    assert response.text == " Hi "


def test_pieces_that_were_lost_are_not_made_up() -> None:
    lost = failed(text("H", item_id="msg_1"), done(SAID), completed(SAID))
    assert (lost.reason, "something else" in lost.message) == ("protocol", True)
    piece = event("function_call_arguments.delta", delta='{"city":', item_id="fc_1")
    assert failed(added({**CALL, "arguments": ""}), piece, done(CALL)).reason == "protocol"


def test_arguments_may_come_again_with_other_blanks_or_as_an_object() -> None:
    piece = event("function_call_arguments.delta", delta='{"city":"Rome"}', item_id="fc_1")
    begun = added({**CALL, "arguments": ""})
    for arguments in ('{ "city": "Rome" }', {"city": "Rome"}, "", None):
        assert streamed(begun, piece, done({**CALL, "arguments": arguments}), completed())[1].tool_calls == (LOOK,)
    assert whole({**CALL, "arguments": {"city": "Rome"}}).tool_calls == (LOOK,)


@pytest.mark.parametrize(("raw", "arguments"), [("", {}), (None, {}), ("null", {}), (5, {}), ('{"a":', None)])
def test_arguments_may_be_empty_or_cut(raw: JSON, arguments: Mapping[str, JSON] | None) -> None:
    (call,) = whole({**CALL, "arguments": raw}).tool_calls
    assert call.arguments == arguments
    assert call.raw_arguments == ("" if arguments is not None else raw)


def test_ids_of_calls_are_made_up_where_there_are_none_or_not_enough() -> None:
    bare = {key: value for key, value in CALL.items() if key not in ("id", "call_id")}
    calls = whole(CALL, {**CALL, "id": "fc_2"}, {**CALL, "call_id": None, "id": "fc_3"}, bare, bare).tool_calls
    ids = [call.id for call in calls]
    assert ids[0] == "call_1"
    assert ids[1] == "fc_2" or len(ids[1]) == 9
    assert ids[2] == "fc_3"
    assert len(set(ids)) == 5
    assert all(ids)


def test_a_call_without_a_name_is_no_call() -> None:
    with pytest.raises(LLMProtocolError, match="without a name"):
        whole({**CALL, "name": None})
    piece = event("function_call_arguments.delta", delta="{}", item_id="fc_9", output_index=77)
    assert failed(piece, completed()).reason == "protocol"


def test_a_name_may_come_with_the_end() -> None:
    piece = event("function_call_arguments.delta", delta='{"city":"Rome"}', item_id="fc_1")
    begun = added({**CALL, "name": "", "arguments": ""})
    events, response = streamed(begun, piece, done(CALL), completed())
    assert events[:2] == [ToolCallStart(0, "call_1", "look"), ToolCallDelta(0, '{"city":"Rome"}')]
    assert response.tool_calls == (LOOK,)


def test_two_calls_at_one_place_or_without_a_place_stay_apart() -> None:
    other = {**CALL, "id": "fc_2", "call_id": "call_2", "arguments": '{"city":"Oslo"}'}
    for where in ({"output_index": 0}, {}):
        _, response = streamed(
            added({**CALL, "arguments": ""}, **where),
            event("function_call_arguments.delta", delta='{"city":', item_id="fc_1", **where),
            added({**other, "arguments": ""}, **where),
            event("function_call_arguments.delta", delta='{"city":"Oslo"}', item_id="fc_2", **where),
            event("function_call_arguments.delta", delta='"Rome"}', item_id="fc_1", **where),
            completed(CALL, other),
        )
        assert [call.arguments for call in response.tool_calls] == [{"city": "Rome"}, {"city": "Oslo"}]


def test_neither_ids_nor_places_continue_what_was_said_last() -> None:
    nameless = {key: value for key, value in SAID.items() if key != "id"}
    _, response = streamed(
        added({**nameless, "content": []}), text("H"), text("i"), done(nameless), completed(nameless)
    )
    assert response.text == "Hi"


def test_ids_that_change_from_event_to_event_are_told_by_their_place() -> None:
    _, response = streamed(
        added({**SAID, "content": [], "id": "a"}, output_index=0),
        text("H", item_id="b", output_index=0),
        text("i", item_id="c", output_index=0),
        done({**SAID, "id": "d"}, output_index=0),
        completed({**SAID, "id": "e"}),
    )
    assert response.text == "Hi"


def test_thinking_that_comes_as_text_and_as_summary_counts_once() -> None:
    item: JSON = {
        **THOUGHT,
        "content": [{"type": "reasoning_text", "text": "Long."}],
        "summary": [{"type": "summary_text", "text": "Short."}],
    }
    _, response = streamed(
        event("reasoning_text.delta", delta="Long.", item_id="rs_1"),
        event("reasoning_summary_text.delta", delta="Short.", item_id="rs_1"),
        done(item),
        completed(item, SAID),
    )
    assert [thought.text for thought in response.reasoning] == ["Long."]
    assert [thought.text for thought in whole(item, SAID).reasoning] == ["Long."]


def test_what_the_servers_own_tools_do_is_kept_and_is_no_call() -> None:
    search: JSON = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "x"}}
    _, response = streamed(
        added({"type": "web_search_call", "id": "ws_1"}),
        event("web_search_call.searching", item_id="ws_1"),
        event("mcp_call_arguments.delta", delta="{}", item_id="mcp_1"),
        done(search),
        completed(search, SAID),
    )
    assert (response.tool_calls, response.finish) == ((), "stop")
    assert [item.wire for item in response.reasoning] == [search]


def test_a_custom_tools_input_is_text() -> None:
    custom: JSON = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "run", "input": "print(1)"}
    events, response = streamed(
        added({"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "run", "input": ""}),
        event("custom_tool_call_input.delta", delta="print(1)", item_id="ctc_1"),
        done(custom),
        completed(custom),
    )
    assert response.tool_calls == (ToolCall("call_1", "run", None, "print(1)"),)
    assert ToolCallDelta(0, "print(1)") in events
    assert [item.wire for item in response.reasoning] == [custom]


def test_a_message_whose_content_is_a_text_goes_back_as_a_part() -> None:
    response = whole({**SAID, "content": "Hi"}, THOUGHT)
    assert (response.reasoning[0].wire or {})["content"] == [TEXT]


def test_an_order_that_a_message_cannot_tell_is_kept_with_stand_ins() -> None:
    other = {**CALL, "id": "fc_2", "call_id": "call_2"}
    response = whole(THOUGHT, CALL, {**THOUGHT, "id": "rs_2"}, SAID, other)
    assert [(item.wire or {}).get("type") for item in response.reasoning] == [
        "reasoning",
        "function_call",
        "reasoning",
        "message",
        "function_call",
    ]
    assert [item.text for item in response.reasoning] == [""] * 5


@pytest.mark.parametrize("more", [{"phase": "commentary"}, {"content": [{**TEXT, "annotations": [{"type": "x"}]}]}])
def test_a_message_with_a_phase_or_sources_is_kept_without_its_id(more: Mapping[str, JSON]) -> None:
    (kept,) = whole({**SAID, "status": "completed", **more}).reasoning
    assert kept.wire == {"type": "message", "role": "assistant", "content": [TEXT], **more}


def test_two_messages_without_more_are_one_text() -> None:
    response = whole(SAID, {**SAID, "id": "msg_2"})
    assert (response.text, response.reasoning) == ("HiHi", ())


def test_usage_that_cannot_be_is_a_guess() -> None:
    assert whole(SAID, usage={"input_tokens": -1, "output_tokens": 2}).usage == Usage(0, 2, estimated=True)
    assert whole(SAID, usage={"input_tokens": "9", "output_tokens": 2}).usage == Usage(0, 2, estimated=True)
    nothing: list[JSON] = [None, [], "9", {}, {"input_tokens": None}]
    assert not any(whole(SAID, usage=each).usage.known for each in nothing)


def test_a_stream_that_is_cut_is_never_an_answer() -> None:
    found = failed(event("created", response={"id": "resp_1"}), text("Hi", item_id="msg_1"))
    assert isinstance(found, StreamInterruptedError)
    assert found.partial_text == "Hi"
    assert isinstance(failed(event("created", response={"id": "resp_1"})), StreamInterruptedError)
    assert failed(b"[DONE]").reason == "protocol"
    assert failed().reason == "protocol"
    assert isinstance(failed(text("Hi", item_id="msg_1"), b"[DONE]"), StreamInterruptedError)


def test_a_lenient_target_takes_what_came_before_the_cut() -> None:
    lenient = LLMConfig(type="custom", model="m", dialect="openai_responses", lenient_terminal=True)
    _, response = streamed(text("Hi", item_id="msg_1"), config=lenient)
    assert (response.text, response.complete, response.finish) == ("Hi", False, None)


def test_heartbeats_unknown_events_and_what_follows_the_end_say_nothing() -> None:
    answer = Answer(CONFIG)
    reader = OpenAIResponses().reader(answer)
    for data in (b"", event("new_kind", delta="x"), event("new_kind.delta", delta="x"), b'{"type": 5}', b"{}"):
        assert reader.decode_event("response.new_kind", data) == ()
    assert reader.decode_event("response.output_text.delta", b'{"delta": "Hi"}') == (TextDelta("Hi"),)
    assert reader.decode_event("ping", b'{"message": "still here"}') == ()
    odds: list[JSON] = [None, 5, "", []]
    for odd in odds:
        assert reader.decode_event("", text(odd)) == ()
        assert reader.decode_event("", event("refusal.delta", delta=odd)) == ()
    assert reader.decode_event("", completed(SAID)) == [Finished("stop")]
    assert reader.end() == ()
    assert reader.decode_event("", b"[DONE]") == ()


@pytest.mark.parametrize("item", [None, 5, [], {}, {"type": None}, {"type": []}])
def test_an_item_that_is_none_begins_nothing(item: JSON) -> None:
    events, _ = streamed(added(item, output_index=0), text("Hi", output_index=0), completed())
    assert events[0] == TextDelta("Hi")


def test_a_gateways_word_in_a_stream_is_an_error() -> None:
    found = failed(b'{"detail": "Not Found"}')
    assert (found.reason, found.provider_message) == ("server", "Not Found")
    assert failed(b'{"error": {"message": "Busy."}}').provider_message == "Busy."


def test_an_answer_has_no_more_items_than_anyone_could_mean() -> None:
    response = whole(*({**SAID, "id": f"msg_{number}"} for number in range(MOST_ITEMS)))
    assert len(response.text) == 2 * MOST_ITEMS
    with pytest.raises(LLMError) as caught:
        whole(*({**SAID, "id": f"msg_{number}"} for number in range(MOST_ITEMS + 1)))
    assert caught.value.reason == "too_large"
