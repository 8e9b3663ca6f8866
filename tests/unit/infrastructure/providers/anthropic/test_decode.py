"""Answers of the messages dialect are read as they were meant, whatever a server does, and nothing escapes untyped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, LLMProtocolError, LLMTemporaryError, StreamInterruptedError
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
from loomwire.infrastructure.providers.anthropic.messages import AnthropicMessages
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.blocks.output_tool import OUTPUT_TOOL
from loomwire.infrastructure.providers.wire.blocks.tracker import MOST_BLOCKS
from loomwire.infrastructure.providers.wire.usage import MOST_TOKENS

CONFIG = LLMConfig.anthropic("m", api_key="k", name="vendor")
LENIENT = LLMConfig(type="anthropic", model="m", lenient_terminal=True)
STOP: dict[str, JSON] = {"type": "message_stop"}
TEXT: dict[str, JSON] = {"type": "text", "text": "Hello."}
CALL: dict[str, JSON] = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"city": "Rome"}}
SERVER: dict[str, JSON] = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "search", "input": {}}


def whole(*content: JSON, finish: JSON = "end_turn", **fields: JSON) -> LLMResponse[str]:
    """Read a whole answer."""
    return read({"type": "message", "content": content, "stop_reason": finish, **fields})


def read(body: JSON | bytes) -> LLMResponse[str]:
    answer = Answer(CONFIG)
    AnthropicMessages().decode(body if isinstance(body, bytes) else json.dumps(body).encode(), answer)
    return answer.result()


def start(index: int | None, block: JSON) -> dict[str, JSON]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def piece(index: JSON, **delta: JSON) -> dict[str, JSON]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def end(finish: JSON = "end_turn", **fields: JSON) -> dict[str, JSON]:
    return {"type": "message_delta", "delta": {"stop_reason": finish}, **fields}


def streamed(*chunks: JSON, config: LLMConfig = CONFIG) -> tuple[list[StreamEvent], LLMResponse[str]]:
    """Read the events of a stream and its end."""
    answer = Answer(config)
    reader = AnthropicMessages().reader(answer)
    events: list[StreamEvent] = []
    for chunk in chunks:
        name = str(chunk.get("type", "")) if isinstance(chunk, Mapping) else ""
        events += reader.decode_event(name, json.dumps(chunk).encode())
    events += reader.end()
    return events, answer.result()


def test_a_whole_answer_tells_everything() -> None:
    answer = whole(
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"}, TEXT, CALL, finish="tool_use", id="msg_1"
    )
    assert (answer.text, answer.finish, answer.finish_wire) == ("Hello.", "tool_calls", "tool_use")
    assert answer.tool_calls == (ToolCall("toolu_1", "look", {"city": "Rome"}),)
    assert answer.reasoning == (Reasoning("Hm.", "sig", origin="anthropic"),)
    assert (answer.response_id, answer.model, answer.usage.known) == ("msg_1", "m", False)


def test_a_stream_tells_the_same_in_pieces() -> None:
    events, answer = streamed(
        {"type": "message_start", "message": {"id": "msg_1", "model": "claude", "usage": {"input_tokens": 3}}},
        {"type": "ping"},
        start(0, {"type": "thinking", "thinking": "", "signature": ""}),
        piece(0, type="thinking_delta", thinking="H"),
        piece(0, type="thinking_delta", thinking="m."),
        piece(0, type="signature_delta", signature="sig"),
        {"type": "content_block_stop", "index": 0},
        start(1, {"type": "text", "text": ""}),
        piece(1, type="text_delta", text="Hello."),
        start(2, {**CALL, "input": {}}),
        piece(2, type="input_json_delta", partial_json=""),
        piece(2, type="input_json_delta", partial_json='{"city":'),
        piece(2, type="input_json_delta", partial_json='"Rome"}'),
        end("tool_use", usage={"output_tokens": 9}),
        STOP,
    )
    call = ToolCall("toolu_1", "look", {"city": "Rome"})
    assert events == [
        UsageUpdate(Usage(3)),
        ReasoningDelta("H"),
        ReasoningDelta("m."),
        TextDelta("Hello."),
        ToolCallStart(0, "toolu_1", "look"),
        ToolCallDelta(0, '{"city":'),
        ToolCallDelta(0, '"Rome"}'),
        UsageUpdate(Usage(3, 9)),
        ToolCallEnd(0, call),
        Finished("tool_calls"),
    ]
    assert answer.reasoning == (Reasoning("Hm.", "sig", origin="anthropic"),)
    assert (answer.text, answer.model, answer.response_id) == ("Hello.", "claude", "msg_1")


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "pause"),
        ("refusal", "content_filter"),
        ("unheard_of", "other"),
    ],
)
def test_every_word_for_an_end_has_its_meaning(word: str, finish: str) -> None:
    answer = whole(TEXT, finish=word)
    assert (answer.finish, answer.finish_wire) == (finish, word)
    assert streamed(start(0, TEXT), end(word), STOP)[1].finish == finish


def test_an_empty_answer_that_says_why_it_ended_is_one() -> None:
    assert whole(finish="refusal").finish == "content_filter"
    assert streamed(end("refusal"), STOP)[1].text == ""


@pytest.mark.parametrize("word", [None, 3, False, ""])
def test_an_end_without_a_word_says_nothing(word: JSON) -> None:
    assert whole(TEXT, finish=word).finish is None
    assert streamed(start(0, TEXT), end(word), STOP)[1].finish is None


def test_a_stream_that_was_cut_is_interrupted_and_forgiven_only_on_request() -> None:
    with pytest.raises(StreamInterruptedError) as caught:
        streamed({"type": "message_start", "message": {}}, start(0, TEXT))
    assert caught.value.partial_text == "Hello."
    answer = streamed(start(0, TEXT), config=LENIENT)[1]
    assert (answer.text, answer.complete) == ("Hello.", False)
    with pytest.raises(LLMProtocolError, match="held no answer"):
        streamed(config=LENIENT)
    assert streamed(start(0, TEXT), end())[1].complete


def test_an_error_in_a_stream_is_the_error_it_would_have_been() -> None:
    said: JSON = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded", "details": None}}
    with pytest.raises(LLMTemporaryError) as caught:
        streamed(start(0, TEXT), said)
    assert (caught.value.reason, caught.value.status) == ("overloaded", 529)
    reader = AnthropicMessages().reader(Answer(CONFIG))
    with pytest.raises(LLMTemporaryError):
        reader.decode_event("", json.dumps(said).encode())
    with pytest.raises(LLMError):
        reader.decode_event("error", b"not json")


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "No."}},
        {"detail": "Not found"},
        {"message": "gateway down"},
        {"type": "error"},
    ],
)
def test_a_reported_error_in_place_of_an_answer_is_one(body: JSON) -> None:
    with pytest.raises(LLMError, match="the provider reports an error"):
        read(body)


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b"<html>",
        b"{}",
        b'{"type": "message", "content": null}',
        b'{"type": "message", "content": []}',
        b'{"type": "message", "content": [3, null], "stop_reason": "end_turn"}',
        b'{"type": "message", "content": [{"type": "tool_use", "id": "a", "name": null}]}',
        b'{"deep": ' + b"[" * 200 + b"]" * 200 + b"}",
    ],
)
def test_what_is_no_answer_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(LLMProtocolError):
        read(body)


@pytest.mark.parametrize(
    "chunks",
    [
        [STOP],
        [{"type": "content_block_start", "index": 0}],
        [{"type": "content_block_delta", "index": 0}],
        [piece(0, partial_json="{}")],
        [start(0, TEXT), piece(0, partial_json="{}")],
        [{"type": "message", "content": [TEXT]}, {"type": "message", "content": [TEXT]}],
        [{"type": "content_block_delta", "index": 0, "delta": "text"}],
    ],
)
def test_a_stream_whose_events_make_no_sense_is_a_protocol_error(chunks: Sequence[JSON]) -> None:
    with pytest.raises(LLMProtocolError):
        streamed(*chunks, STOP)


def test_a_text_in_place_of_blocks_and_a_message_in_place_of_a_stream_are_read() -> None:
    assert read({"content": "Hello.", "stop_reason": "end_turn"}).text == "Hello."
    assert streamed({"type": "message", "content": [TEXT], "stop_reason": "end_turn"})[1].text == "Hello."
    reader = AnthropicMessages().reader(Answer(CONFIG))
    assert reader.decode_event("ping", b"") == ()
    assert reader.decode_event("", b'{"type": "unheard_of"}') == []


@pytest.mark.parametrize(
    ("given", "arguments", "raw"),
    [
        ({}, {}, ""),
        (None, {}, ""),
        ('{"a": 1}', {"a": 1}, ""),
        ('{"a": ', None, '{"a": '),
        ([1], None, "[1]"),
    ],
)
def test_inputs_are_arguments_whatever_their_form(given: JSON, arguments: JSON, raw: str) -> None:
    (call,) = whole({**CALL, "input": given}, finish="tool_use").tool_calls
    assert (call.arguments, call.raw_arguments) == (arguments, raw)
    (call,) = streamed(start(0, {**CALL, "input": given}), end("tool_use"), STOP)[1].tool_calls
    assert (call.arguments, call.raw_arguments) == (arguments, raw)


def test_pieces_of_an_input_take_the_place_of_what_the_start_said() -> None:
    chunks = start(0, CALL), piece(0, partial_json='{"city": "Oslo"}'), end("tool_use"), STOP
    assert streamed(*chunks)[1].tool_calls[0].arguments == {"city": "Oslo"}


def test_cut_arguments_are_kept_as_they_are() -> None:
    chunks = start(0, {**CALL, "input": {}}), piece(0, partial_json='{"ci'), end("max_tokens"), STOP
    answer = streamed(*chunks)[1]
    assert (answer.tool_calls[0].raw_arguments, answer.finish) == ('{"ci', "length")


def test_calls_are_told_apart_without_ids_on_one_index_and_by_no_index() -> None:
    blocks: list[dict[str, JSON]] = [{**CALL, "input": {}, "id": "same"}, {**CALL, "input": {}, "id": "same"}]
    for one, two in ((0, 0), (None, None), (0, 1)):
        answer = streamed(
            start(one, blocks[0]),
            piece(one, partial_json='{"a": 1}'),
            start(two, blocks[1]),
            piece(77 if two else two, partial_json='{"a": 2}'),
            end("tool_use"),
            STOP,
        )[1]
        assert [call.arguments for call in answer.tool_calls] == [{"a": 1}, {"a": 2}]
        assert len({call.id for call in answer.tool_calls}) == 2
    anonymous = whole({**CALL, "id": None}, {**CALL, "id": 7}, finish="tool_use")
    assert len({call.id for call in anonymous.tool_calls if call.id}) == 2


def test_blocks_may_interleave_by_their_index() -> None:
    answer = streamed(
        start(0, {**CALL, "input": {}}),
        start(1, {**CALL, "id": "toolu_2", "input": {}}),
        piece(0, partial_json='{"a": '),
        piece(1, partial_json='{"b": '),
        piece(0, partial_json="1}"),
        piece(1, partial_json="2}"),
        end("tool_use"),
        STOP,
    )[1]
    assert [call.arguments for call in answer.tool_calls] == [{"a": 1}, {"b": 2}]


def test_pieces_of_a_block_that_nobody_began_are_shown_for_what_they_are() -> None:
    answer = streamed(piece(0, text="Hi"), piece(0, thinking="Hm."), piece(3, signature="sig"), end(), STOP)[1]
    assert answer.text == "Hi"
    assert [(item.text, item.signature) for item in answer.reasoning if item.wire is None] == [("Hm.", "sig")]
    assert streamed(piece(0, signature="sig"), start(0, TEXT), end(), STOP)[1].text == "Hello."


def test_the_input_of_the_answers_tool_is_the_text() -> None:
    block: dict[str, JSON] = {**CALL, "name": OUTPUT_TOOL, "input": {}}
    events, answer = streamed(
        start(0, block), piece(0, partial_json='{"name": '), piece(0, partial_json='"Rome"}'), end("tool_use"), STOP
    )
    assert [event.text for event in events if isinstance(event, TextDelta)] == ['{"name": ', '"Rome"}']
    assert (json.loads(answer.text), answer.finish, answer.tool_calls) == ({"name": "Rome"}, "stop", ())
    mixed = whole({**block, "input": {"name": "Rome"}}, CALL, finish="tool_use")
    assert (json.loads(mixed.text), mixed.finish, len(mixed.tool_calls)) == ({"name": "Rome"}, "tool_calls", 1)
    with pytest.raises(LLMProtocolError, match="given twice"):
        whole(block, block, finish="tool_use")


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"input_tokens": 3, "output_tokens": 4}, Usage(3, 4)),
        (
            {"input_tokens": 3, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 5, "output_tokens": 4},
            Usage(18, 4, 10, 5),
        ),
        (
            {"input_tokens": 1, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 7}},
            Usage(1, 9, 0, 0, 7),
        ),
        ({"input_tokens": 1, "output_tokens": 9, "output_tokens_details": 3}, Usage(1, 9)),
        ({"input_tokens": -1, "output_tokens": 4}, Usage(0, 4, estimated=True)),
        ({"input_tokens": 3, "cache_read_input_tokens": -9, "output_tokens": 4}, Usage(3, 4, estimated=True)),
        ({"input_tokens": "many", "output_tokens": 4}, Usage(0, 4, estimated=True)),
        ({"input_tokens": 10**12, "output_tokens": 4}, Usage(MOST_TOKENS, 4, estimated=True)),
    ],
)
def test_usage_includes_what_the_cache_read_and_wrote(told: JSON, usage: Usage) -> None:
    assert whole(TEXT, usage=told).usage == usage


def test_the_last_number_of_a_stream_holds_and_null_says_nothing() -> None:
    first: JSON = {"usage": {"input_tokens": 50, "cache_read_input_tokens": 7, "output_tokens": 1}}
    chunks = (
        {"type": "message_start", "message": first},
        start(0, TEXT),
        end(usage={"input_tokens": 20, "cache_read_input_tokens": None, "output_tokens": 9}),
        STOP,
    )
    assert streamed(*chunks)[1].usage == Usage(27, 9, 7)
    assert not whole(TEXT, usage={"service_tier": "standard"}).usage.known
    assert not whole(TEXT, usage="none").usage.known


def test_server_tools_blocks_are_no_calls_and_keep_their_place() -> None:
    result: JSON = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    answer = streamed(
        start(0, TEXT),
        start(1, SERVER),
        piece(1, partial_json='{"q": '),
        piece(1, partial_json='"x"}'),
        start(2, result),
        start(3, {"type": "text", "text": "", "citations": [{"type": "c", "n": 1}]}),
        piece(3, text="Found."),
        piece(3, citation={"type": "c", "n": 2}),
        end(),
        STOP,
    )[1]
    assert (answer.tool_calls, answer.text) == ((), "Hello.Found.")
    (layout,) = answer.reasoning
    assert layout.wire is not None
    assert layout.wire["entries"] == [
        {"text": 6},
        {"block": {**SERVER, "input": {"q": "x"}}},
        {"block": result},
        {"text": 6, "citations": [{"type": "c", "n": 1}, {"type": "c", "n": 2}]},
    ]


def test_a_server_tools_cut_input_is_wrapped_and_a_block_with_unknown_pieces_is_let_go() -> None:
    chunks = start(0, TEXT), start(1, SERVER), piece(1, partial_json='{"q'), end("max_tokens"), STOP
    (layout,) = streamed(*chunks)[1].reasoning
    assert layout.wire is not None
    assert layout.wire["entries"] == [{"text": 6}, {"block": {**SERVER, "input": {"INVALID_JSON": '{"q'}}}]
    assert streamed(start(0, TEXT), start(1, {"type": "new"}), piece(1, unheard=1), end(), STOP)[1].reasoning == ()


def test_an_answer_of_endless_blocks_is_too_large() -> None:
    with pytest.raises(LLMProtocolError, match="more than 4096 blocks"):
        whole(*([{"type": "new"}] * (MOST_BLOCKS + 1)))
    with pytest.raises(LLMProtocolError, match="more than 4096 citations"):
        whole({**TEXT, "citations": [{}] * (MOST_BLOCKS + 1)})


WHOLE: dict[str, JSON] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xx"},
        TEXT,
        SERVER,
        CALL,
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 3},
}
EVENTS: list[JSON] = [
    {"type": "message_start", "message": {**WHOLE, "content": [], "stop_reason": None}},
    start(0, {"type": "thinking", "thinking": "", "signature": ""}),
    piece(0, type="thinking_delta", thinking="Hm."),
    piece(0, type="signature_delta", signature="sig"),
    start(1, {"type": "text", "text": ""}),
    piece(1, type="text_delta", text="Hello."),
    start(2, {**CALL, "input": {}}),
    piece(2, type="input_json_delta", partial_json='{"city": "Rome"}'),
    end("tool_use", usage={"output_tokens": 9}),
    STOP,
]
ODD: list[JSON] = [None, 0, -1, 2.5, "", "word", [], [None], {}, {"type": "text"}, True, "\ud800", 10**20]


def mutated(value: JSON, chance: Random) -> JSON:
    """Return a JSON value with something in it changed, dropped or added."""
    if chance.random() < 0.08:
        return chance.choice(ODD)
    if isinstance(value, Mapping):
        kept = {key: mutated(each, chance) for key, each in value.items() if chance.random() > 0.04}
        return {**kept, "unknown": chance.choice(ODD)} if chance.random() < 0.1 else kept
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [mutated(each, chance) for each in value if chance.random() > 0.04]
    return value


@given(st.integers(0, 2**32))
def test_no_change_of_an_answer_escapes_untyped(seed: int) -> None:
    chance = Random(seed)
    for attempt in (
        lambda: read(mutated(WHOLE, chance)),
        lambda: streamed(*(mutated(each, chance) for each in EVENTS)),
    ):
        try:
            attempt()
        except LLMError as error:
            assert error.reason  # noqa: PT017 - any typed error will do
