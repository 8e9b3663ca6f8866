"""Answers of Converse are read as they were meant, whatever a server does, and nothing escapes untyped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, LLMProtocolError, StreamInterruptedError
from loomwire.domain.events import Finished, ReasoningDelta, StreamEvent, TextDelta, ToolCallDelta
from loomwire.domain.messages import Reasoning
from loomwire.domain.pricing import NO_USAGE, Usage
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.bedrock.converse import BedrockConverse
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.blocks.output_tool import OUTPUT_TOOL
from loomwire.infrastructure.providers.wire.blocks.tracker import MOST_BLOCKS
from support.mutations import mutated

CONFIG = LLMConfig.bedrock("m", region="us-east-1", name="vendor")
LENIENT = LLMConfig(type="bedrock", model="m", lenient_terminal=True)
USED: Mapping[str, JSON] = {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}
SIGNED: JSON = {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}}
CALL: JSON = {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"a": 1}, "type": "tool_use"}}


def read(body: JSON | bytes) -> LLMResponse[str]:
    """Read a whole answer."""
    answer = Answer(CONFIG)
    BedrockConverse().decode(body if isinstance(body, bytes) else json.dumps(body).encode(), answer)
    return answer.result()


def whole(*content: JSON, stop: JSON = "end_turn", **fields: JSON) -> LLMResponse[str]:
    """Read a whole answer with some content."""
    message: JSON = {"role": "assistant", "content": list(content)}
    return read({"output": {"message": message}, "stopReason": stop, "usage": dict(USED), **fields})


def delta(said: JSON, index: JSON = 0) -> tuple[str, JSON]:
    """Return a piece of a block."""
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": said, "p": "abc"}


def start(what: JSON, index: JSON = 0) -> tuple[str, JSON]:
    """Return the start of a block."""
    return "contentBlockStart", {"contentBlockIndex": index, "start": what}


def stop(word: JSON = "end_turn") -> tuple[str, JSON]:
    """Return the end of a message."""
    return "messageStop", {"stopReason": word}


END: tuple[str, JSON] = ("metadata", {"usage": dict(USED), "metrics": {"latencyMs": 1}})


def streamed(
    *pairs: tuple[str, JSON | bytes], config: LLMConfig = CONFIG
) -> tuple[list[StreamEvent], LLMResponse[str]]:
    """Read the events of a stream and its end."""
    answer = Answer(config)
    reader = BedrockConverse().reader(answer)
    events: list[StreamEvent] = []
    for name, data in pairs:
        events += reader.decode_event(name, data if isinstance(data, bytes) else json.dumps(data).encode())
    events += reader.end()
    return events, answer.result()


def test_an_answer_with_everything_is_read() -> None:
    redacted: JSON = {"reasoningContent": {"redactedContent": "b3BhcXVl"}}
    usage: JSON = {**USED, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 20, "totalTokens": 130}
    response = whole(SIGNED, redacted, {"text": "Hi"}, CALL, stop="tool_use", usage=usage, unknown=[1], trace={})
    assert (response.text, response.finish, response.finish_wire) == ("Hi", "tool_calls", "tool_use")
    assert response.usage == Usage(127, 3, 100, 20, reported_total=130)
    assert [(call.id, call.name, call.arguments) for call in response.tool_calls] == [("t1", "look", {"a": 1})]
    assert response.reasoning == (
        Reasoning("Hm.", "c2ln", origin="bedrock"),
        Reasoning(redacted="b3BhcXVl", origin="bedrock"),
    )
    assert (response.model, response.response_id) == ("m", None)


def test_a_stream_says_the_same_as_a_whole_answer() -> None:
    events, response = streamed(
        ("messageStart", {"role": "assistant"}),
        delta({"reasoningContent": {"text": "Hm"}}),
        delta({"reasoningContent": {"text": "."}}),
        delta({"reasoningContent": {"signature": "c2ln"}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        delta({"text": ""}, 1),
        delta({"text": "Hi"}, 1),
        start({"toolUse": {"toolUseId": "t1", "name": "look"}}, 2),
        delta({"toolUse": {"input": ""}}, 2),
        delta({"toolUse": {"input": '{"a":'}}, 2),
        delta({"toolUse": {"input": " 1}"}}, 2),
        stop("tool_use"),
        END,
    )
    same = whole(SIGNED, {"text": "Hi"}, CALL, stop="tool_use")
    assert (response.text, response.tool_calls, response.reasoning) == (same.text, same.tool_calls, same.reasoning)
    assert (response.usage, response.finish) == (same.usage, same.finish)
    assert [each.text for each in events if isinstance(each, ReasoningDelta)] == ["Hm", "."]
    assert [each.text for each in events if isinstance(each, TextDelta)] == ["Hi"]
    assert [each.arguments for each in events if isinstance(each, ToolCallDelta)] == ['{"a":', " 1}"]
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_tool_use", "other"),
        ("not yet thought of", "other"),
    ],
)
def test_every_reason_to_stop_is_read_and_an_unknown_one_passes_through(word: str, finish: str) -> None:
    for response in (whole({"text": "Hi"}, stop=word), streamed(delta({"text": "Hi"}), stop(word), END)[1]):
        assert (response.finish, response.finish_wire, response.complete) == (finish, word, True)


@pytest.mark.parametrize("word", [None, 7, [], ""])
def test_a_missing_reason_is_no_reason(word: JSON) -> None:
    assert whole({"text": "Hi"}, stop=word).finish is None
    assert streamed(delta({"text": "Hi"}), stop(word), END)[1].finish is None


def test_usage_that_never_comes_does_not_spoil_a_stream_that_said_why_it_stopped() -> None:
    assert streamed(delta({"text": "Hi"}), stop())[1].usage == NO_USAGE


def test_an_event_that_nobody_knows_says_nothing() -> None:
    _, response = streamed(("weather", {"message": {"a": 1}}), delta({"text": "Hi"}), stop(), END)
    assert response.text == "Hi"


def test_usage_before_the_stop_does_not_end_the_stream() -> None:
    assert streamed(END, delta({"text": "Hi"}), stop())[1].usage == Usage(7, 3, reported_total=10)


@pytest.mark.parametrize("usage", [None, [], "much", {}, {"inputTokens": None}])
def test_no_usage_is_no_zero(usage: JSON) -> None:
    assert not whole({"text": "Hi"}, usage=usage).usage.known


@pytest.mark.parametrize(
    "usage",
    [
        {"inputTokens": -1, "outputTokens": 3},
        {"inputTokens": 9},
        {"inputTokens": 9, "outputTokens": "many"},
        {"inputTokens": 9, "outputTokens": 3, "cacheReadInputTokens": -4},
        {"inputTokens": 10**30, "outputTokens": 3},
    ],
)
def test_odd_usage_is_clamped_and_said_to_be_a_guess(usage: JSON) -> None:
    read_usage = whole({"text": "Hi"}, usage=usage).usage
    assert read_usage.estimated
    assert min(read_usage.input_tokens, read_usage.output_tokens) >= 0


def test_a_stream_that_is_cut_is_no_answer() -> None:
    with pytest.raises(StreamInterruptedError) as caught:
        streamed(delta({"text": "Hi"}))
    assert caught.value.partial_text == "Hi"
    with pytest.raises(LLMProtocolError, match="held no answer"):
        streamed()
    _, response = streamed(delta({"text": "Hi"}), config=LENIENT)
    assert not response.complete


def test_events_after_the_end_and_without_data_say_nothing() -> None:
    answer = Answer(CONFIG)
    reader = BedrockConverse().reader(answer)
    for name, data in (delta({"text": "Hi"}), stop(), END):
        reader.decode_event(name, json.dumps(data).encode())
    assert reader.decode_event("metadata", b"{}") == ()
    assert list(reader.end()) == []
    assert list(BedrockConverse().reader(Answer(CONFIG)).decode_event("ping", b"")) == []


@pytest.mark.parametrize(
    ("name", "reason", "status"),
    [
        ("exception:throttlingException", "throttled", 429),
        ("exception:modelStreamErrorException", "server", 424),
        ("exception:internalServerException", "server", 500),
        ("exception:serviceUnavailableException", "overloaded", 503),
        ("exception:validationException", "invalid_request", 400),
        ("exception:inventedException", "server", 200),
        ("error:ThrottlingException", "throttled", 429),
        ("error:500", "server", 500),
    ],
)
def test_an_exception_in_a_stream_is_that_error(name: str, reason: str, status: int) -> None:
    with pytest.raises(LLMError) as caught:
        streamed((name, {"message": "Too much of this."}))
    error = caught.value
    assert (error.reason, error.status, error.provider_message) == (reason, status, "Too much of this.")


@pytest.mark.parametrize(
    "body", [{"message": "no"}, {"Message": "no"}, {"__type": "x#ThrottlingException", "message": "no"}]
)
def test_an_error_in_place_of_an_answer_is_an_error(body: JSON) -> None:
    for attempt in (lambda: read(body), lambda: streamed(("messageStart", body))):
        with pytest.raises(LLMError) as caught:
            attempt()
        assert caught.value.provider_message == "no"
    with pytest.raises(LLMError):
        read({"message": "x" * 100_000})


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b"{",
        {},
        {"output": None},
        {"output": {"message": {"content": "Hi"}}},
        {"output": {"message": {"content": [1, None]}}},
        {"output": {"message": {"content": [{"text": ["Hi"]}]}}},
        {"output": {"message": {"content": [{"toolUse": {"input": {}}}]}}},
        {"output": {"message": {"content": []}}},
        {"output": {"message": {"content": []}}, "stopReason": "end_turn", "deep": json.loads("[" * 70 + "]" * 70)},
    ],
)
def test_what_is_no_answer_is_a_protocol_error(body: JSON | bytes) -> None:
    with pytest.raises(LLMProtocolError):
        read(body)


@pytest.mark.parametrize(
    "pair",
    [
        ("contentBlockDelta", b"null"),
        ("contentBlockDelta", {"contentBlockIndex": 0}),
        ("contentBlockDelta", {"delta": {"text": ["Hi"]}}),
        ("contentBlockDelta", {"delta": {"toolUse": "x"}}),
        ("contentBlockDelta", {"delta": {"toolUse": {"input": "{}"}}}),
        ("contentBlockDelta", {"delta": {"text": "x"}, "deep": json.loads("[" * 600 + "]" * 600)}),
        ("contentBlockDelta", {"delta": {"citation": {"deep": json.loads("[" * 70 + "]" * 70)}}}),
        ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t"}}}),
    ],
)
def test_what_is_no_event_is_a_protocol_error(pair: tuple[str, JSON | bytes]) -> None:
    with pytest.raises(LLMProtocolError):
        streamed(pair)


@pytest.mark.parametrize("before", [delta({"text": "Hi"}), delta({"reasoningContent": {"text": "Hm"}})])
def test_arguments_that_belong_to_no_call_are_a_protocol_error(before: tuple[str, JSON]) -> None:
    for index in (0, 77):
        with pytest.raises(LLMProtocolError, match="nobody began"):
            streamed(before, delta({"toolUse": {"input": "{}"}}, index))


def test_pieces_without_an_index_belong_to_the_block_that_was_begun_last() -> None:
    _, response = streamed(
        delta({"text": "I look."}, None),
        start({"toolUse": {"toolUseId": "a", "name": "look"}}, None),
        delta({"toolUse": {"input": '{"a":1}'}}, None),
        start({"toolUse": {"toolUseId": "b", "name": "look"}}, None),
        delta({"toolUse": {"input": '{"a":2}'}}, None),
        stop("tool_use"),
        END,
    )
    assert [(call.id, call.arguments) for call in response.tool_calls] == [("a", {"a": 1}), ("b", {"a": 2})]


def test_two_calls_on_one_index_are_two_calls() -> None:
    _, response = streamed(
        start({"toolUse": {"toolUseId": "a", "name": "look"}}),
        delta({"toolUse": {"input": '{"a":1}'}}),
        start({"toolUse": {"toolUseId": "b", "name": "look"}}),
        delta({"toolUse": {"input": '{"a":2}'}}),
        stop("tool_use"),
        END,
    )
    assert [(call.id, call.arguments) for call in response.tool_calls] == [("a", {"a": 1}), ("b", {"a": 2})]


def test_calls_without_ids_or_with_equal_ones_can_be_told_apart() -> None:
    for id_ in (None, "", 7, "same"):
        named: JSON = {"toolUse": {"toolUseId": id_, "name": "look", "input": {}}}
        ids = [call.id for call in whole(named, named, stop="tool_use").tool_calls]
        assert all(ids)
        assert len(set(ids)) == 2


def test_arguments_cut_by_the_limit_are_kept_raw() -> None:
    _, response = streamed(
        start({"toolUse": {"toolUseId": "a", "name": "look"}}),
        delta({"toolUse": {"input": '{"a":'}}),
        stop("max_tokens"),
        END,
    )
    (call,) = response.tool_calls
    assert (call.arguments, call.raw_arguments, response.finish) == (None, '{"a":', "length")
    (call,) = whole({"toolUse": {"toolUseId": "a", "name": "look", "input": '{"a":'}}, stop="max_tokens").tool_calls
    assert (call.arguments, call.raw_arguments) == (None, '{"a":')


def test_a_call_without_arguments_has_none() -> None:
    _, response = streamed(start({"toolUse": {"toolUseId": "a", "name": "look"}}), stop("tool_use"), END)
    assert response.tool_calls[0].arguments == {}
    assert whole({"toolUse": {"toolUseId": "a", "name": "look"}}).tool_calls[0].arguments == {}


def test_the_tool_that_gives_the_answer_is_the_answer() -> None:
    given: JSON = {"toolUse": {"toolUseId": "t", "name": OUTPUT_TOOL, "input": {"a": 1}}}
    response = whole(given, stop="tool_use")
    assert (response.text, response.finish, response.tool_calls) == ('{"a":1}', "stop", ())
    _, response = streamed(
        start({"toolUse": {"toolUseId": "t", "name": OUTPUT_TOOL}}),
        delta({"toolUse": {"input": '{"a":'}}),
        delta({"toolUse": {"input": "1}"}}),
        stop("tool_use"),
        END,
    )
    assert (response.text, response.finish) == ('{"a":1}', "stop")


def test_an_answer_that_is_given_twice_is_none() -> None:
    given: JSON = {"toolUse": {"toolUseId": "t", "name": OUTPUT_TOOL, "input": {"a": 1}}}
    with pytest.raises(LLMProtocolError, match="given twice"):
        whole(given, given, stop="tool_use")


def test_tools_of_the_service_are_not_the_callers_and_are_kept() -> None:
    use: dict[str, JSON] = {"toolUseId": "s", "name": "grounding", "type": "server_tool_use"}
    result: dict[str, JSON] = {"toolUseId": "s", "status": "success", "type": "grounding_result"}
    cited: JSON = {"citationsContent": {"content": [{"text": "It rains."}], "citations": [{"title": "News"}]}}
    given: JSON = {"q": "rain"}
    answers = (
        whole(
            {"text": "Let me see."},
            {"toolUse": {**use, "input": given}},
            {"toolResult": {**result, "content": [{"text": "wet"}]}},
            cited,
        ),
        streamed(
            delta({"text": "Let me see."}),
            start({"toolUse": use}, 1),
            delta({"toolUse": {"input": '{"q":"rain"}'}}, 1),
            start({"toolResult": result}, 2),
            delta({"toolResult": [{"text": "wet"}]}, 2),
            delta({"text": "It rains."}, 3),
            delta({"citation": {"title": "News"}}, 3),
            stop(),
            END,
        )[1],
    )
    for response in answers:
        assert (response.text, response.tool_calls) == ("Let me see.It rains.", ())
        (kept,) = response.reasoning
        assert kept.origin == "bedrock"
        assert kept.wire == {
            "type": "loomwire_layout",
            "entries": [
                {"text": 11},
                {"block": {"toolUse": {**use, "input": given}}},
                {"block": {"toolResult": {**result, "content": [{"text": "wet"}]}}},
                {"text": 9, "citations": [{"title": "News"}]},
            ],
        }


def test_a_service_tools_result_that_nobody_began_does_not_go_back() -> None:
    _, response = streamed(delta({"toolResult": [{"text": "wet"}]}), delta({"text": "It rains."}, 1), stop(), END)
    assert (response.text, response.reasoning) == ("It rains.", ())


def test_a_service_tools_input_that_is_cut_or_missing_still_goes_back_as_an_object() -> None:
    use: dict[str, JSON] = {"toolUseId": "s", "name": "grounding", "type": "server_tool_use"}
    for pieces, wanted in ((('{"q":',), {"INVALID_JSON": '{"q":'}), ((), {})):
        _, response = streamed(
            start({"toolUse": use}), *(delta({"toolUse": {"input": piece}}) for piece in pieces), stop(), END
        )
        wire = response.reasoning[0].wire
        assert wire is not None
        assert wire["entries"] == [{"block": {"toolUse": {"input": wanted, **use}}}]


def test_redacted_thinking_in_pieces_is_one() -> None:
    for pieces, wanted in ((("b3A=", "YXF1ZQ=="), "b3BhcXVl"), (("b3BhcXVl",), "b3BhcXVl"), (("a", "b"), "ab")):
        redacted = [delta({"reasoningContent": {"redactedContent": piece}}) for piece in pieces]
        _, response = streamed(*redacted, delta({"text": "Hi"}, 1), stop(), END)
        assert response.reasoning == (Reasoning(redacted=wanted, origin="bedrock"),)


def test_an_answer_has_no_more_blocks_than_can_be() -> None:
    with pytest.raises(LLMProtocolError, match="more than"):
        whole(*([{"text": "x"}] * (MOST_BLOCKS + 1)))
    cited: JSON = {"citationsContent": {"content": [], "citations": [{}] * (MOST_BLOCKS + 1)}}
    with pytest.raises(LLMProtocolError, match="more than"):
        whole({"text": "x"}, cited)


ANSWER: JSON = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                SIGNED,
                {"reasoningContent": {"redactedContent": "b3BhcXVl"}},
                {"text": "Hi"},
                {"citationsContent": {"content": [{"text": "x"}], "citations": [{"title": "y"}]}},
                CALL,
                {"toolResult": {"toolUseId": "s", "content": []}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": dict(USED),
    "message": None,
}
EVENTS: tuple[tuple[str, JSON], ...] = (
    ("messageStart", {"role": "assistant", "p": "ab"}),
    delta({"reasoningContent": {"text": "Hm", "signature": "s", "redactedContent": "b"}}),
    delta({"text": "Hi", "citation": {"title": "x"}}, 1),
    start({"toolUse": {"toolUseId": "t", "name": "look", "type": "tool_use"}}, 2),
    delta({"toolUse": {"input": "{}"}}, 2),
    delta({"toolResult": [{"text": "x"}]}, 3),
    stop("tool_use"),
    END,
)


@given(mutated(ANSWER))
def test_no_whole_answer_escapes_untyped(body: JSON) -> None:
    with suppress(LLMError):
        read(body)


@given(st.tuples(*(mutated(data) for _, data in EVENTS)))
def test_no_stream_escapes_untyped(data: tuple[JSON, ...]) -> None:
    with suppress(LLMError):
        streamed(*((name, each) for (name, _), each in zip(EVENTS, data, strict=True)))
