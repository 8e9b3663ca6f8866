"""Answers of generateContent are read whatever servers leave out or get wrong, and never taken for more."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, LLMProtocolError, LLMTemporaryError, StreamInterruptedError
from loomwire.domain.events import ReasoningDelta, StreamEvent, TextDelta, ToolCallEnd, UsageUpdate
from loomwire.domain.messages import Reasoning
from loomwire.domain.policies import WireLimits
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.gemini.gemini import Gemini
from loomwire.infrastructure.providers.gemini.kept import MOST_ITEMS
from loomwire.infrastructure.providers.wire.answer import Answer

CONFIG = LLMConfig.gemini("gemini-3-pro-preview", api_key="k")
DIALECT = Gemini()


def chunk(*parts: JSON, finish: JSON = None, **more: JSON) -> JSON:
    candidate: dict[str, JSON] = {"content": {"role": "model", "parts": parts}}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **more}


def text(said: str, signature: str | None = None) -> JSON:
    return {"text": said} if signature is None else {"text": said, "thoughtSignature": signature}


def thought(said: str, **more: JSON) -> JSON:
    return {"text": said, "thought": True, **more}


def call(name: JSON, args: JSON = None, **more: JSON) -> JSON:
    return {"functionCall": {"name": name, **({} if args is None else {"args": args}), **more}}


def whole(value: JSON) -> LLMResponse[str]:
    answer = Answer(CONFIG)
    DIALECT.decode(json.dumps(value).encode(), answer)
    return answer.result()


def streamed(*chunks: JSON, config: LLMConfig = CONFIG) -> tuple[LLMResponse[str], list[StreamEvent]]:
    answer = Answer(config)
    reader = DIALECT.reader(answer)
    events = [event for each in chunks for event in reader.decode_event("message", json.dumps(each).encode())]
    events += reader.end()
    return answer.result(), events


NO_WORDS: tuple[JSON, ...] = ("", "FINISH_REASON_UNSPECIFIED", 0, True, 1.5, [], {})


@pytest.mark.parametrize(
    ("word", "finish", "told"),
    [
        ("STOP", "stop", "STOP"),
        ("MAX_TOKENS", "length", "MAX_TOKENS"),
        *((word, "content_filter", word) for word in ("SAFETY", "RECITATION", "PROHIBITED_CONTENT", "SPII")),
        ("MALFORMED_FUNCTION_CALL", "error", "MALFORMED_FUNCTION_CALL"),
        ("LANGUAGE", "other", "LANGUAGE"),
        ("NEVER_HEARD_OF", "other", "NEVER_HEARD_OF"),
        (1, "stop", "1"),
        (2, "length", "2"),
        (3, "content_filter", "3"),
        # LANGUAGE of the Gemini API and BLOCKLIST of Vertex AI.
        (6, "other", "6"),
        (99, "other", "99"),
        *((word, None, None) for word in NO_WORDS),
    ],
)
def test_a_finish_reason_is_a_word_or_a_number(word: JSON, finish: str | None, told: str | None) -> None:
    response = whole(chunk(text("a"), finish=word))
    assert (response.finish, response.finish_wire, response.text) == (finish, told, "a")


@pytest.mark.parametrize(
    "blocked",
    [
        {"promptFeedback": {"blockReason": "SAFETY"}},
        {"promptFeedback": {"blockReason": "SAFETY"}, "candidates": []},
        {"promptFeedback": {"blockReason": 1}, "usageMetadata": {"promptTokenCount": 3}},
    ],
)
def test_a_blocked_prompt_is_an_answer_that_says_so(blocked: JSON) -> None:
    for response in (whole(blocked), streamed(blocked)[0]):
        assert (response.finish, response.text) == ("content_filter", "")
        assert response.finish_wire in ("SAFETY", "1")


def test_feedback_without_a_reason_blocks_nothing() -> None:
    rated = {"safetyRatings": [], "blockReason": "BLOCKED_REASON_UNSPECIFIED"}
    response = whole(chunk(text("a"), finish="STOP", promptFeedback=rated))
    assert (response.finish, response.finish_wire) == ("stop", "STOP")


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"candidates": []},
        {"candidates": None},
        {"candidates": [{}]},
        {"candidates": [{"content": None, "index": 0}]},
        {"candidates": "none"},
        {"candidates": [{"content": "text"}]},
        {"candidates": [{"content": {"parts": "text"}}]},
        {"candidates": [{"content": {"parts": [None]}}]},
        chunk(call("")),
        chunk(call(None)),
        chunk(call(7)),
        chunk({"functionCall": "look"}),
        None,
        "text",
        7,
        [],
        [chunk(text("a"), finish="STOP")],
    ],
)
def test_what_is_no_answer_is_a_protocol_error(value: JSON) -> None:
    with pytest.raises(LLMProtocolError):
        whole(value)


@pytest.mark.parametrize("value", [{"candidates": [{"finishReason": "STOP"}]}, chunk(finish="STOP"), chunk(text(""))])
def test_an_answer_may_be_empty(value: JSON) -> None:
    assert whole(value).text == ""


@pytest.mark.parametrize(
    "value",
    [
        {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}},
        [{"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}],
        {"error": {"message": "The model is overloaded.", "status": "UNAVAILABLE"}, "candidates": []},
    ],
)
def test_an_error_with_status_200_is_that_error(value: JSON) -> None:
    with pytest.raises(LLMTemporaryError) as caught:
        whole(value)
    assert (caught.value.reason, caught.value.retryable) == ("overloaded", True)


def test_an_error_in_a_stream_is_that_error_however_it_is_framed() -> None:
    error = json.dumps({"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}}).encode()
    for name in ("error", "message"):
        with pytest.raises(LLMError) as caught:
            DIALECT.reader(Answer(CONFIG)).decode_event(name, error)
        assert caught.value.reason == "throttled"
    with pytest.raises(LLMError) as gateway:
        streamed({"message": "upstream went away"})
    assert gateway.value.reason == "server"


@pytest.mark.parametrize("data", [b"", b"[DONE]"])
def test_heartbeats_and_end_signs_say_nothing(data: bytes) -> None:
    assert DIALECT.reader(Answer(CONFIG)).decode_event("message", data) == ()


def test_a_stream_without_a_finish_reason_was_cut() -> None:
    with pytest.raises(StreamInterruptedError) as caught:
        streamed(chunk(text("First ")), chunk(text("second")))
    assert caught.value.partial_text == "First second"
    with pytest.raises(LLMProtocolError, match="no answer"):
        streamed()


def test_a_configuration_may_forgive_a_missing_finish_reason() -> None:
    response, _ = streamed(chunk(text("All")), config=replace(CONFIG, lenient_terminal=True))
    assert (response.text, response.complete, response.finish) == ("All", False, None)
    thoughts, _ = streamed(chunk({"thoughtSignature": "c2ln"}), config=replace(CONFIG, lenient_terminal=True))
    assert [item.signature for item in thoughts.reasoning] == ["c2ln"]


def test_stop_between_runs_of_code_does_not_end_the_answer() -> None:
    code: JSON = {"executableCode": {"code": "print(1)", "language": "PYTHON"}}
    result: JSON = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}
    with pytest.raises(StreamInterruptedError):
        streamed(chunk(code, finish="STOP"), chunk(result))
    response, _ = streamed(chunk(code, finish="STOP"), chunk(result), chunk(text("One."), finish="STOP"))
    assert response.text == "One."
    assert [item.wire and item.wire["part"] for item in response.reasoning] == [code, result]


def test_a_stream_that_goes_on_after_its_end_is_no_answer() -> None:
    with pytest.raises(LLMProtocolError, match="after its end"):
        streamed(chunk(text("All.")), chunk(text(""), finish="STOP"), chunk(text("All.")), chunk(finish="STOP"))
    every, _ = streamed(chunk(text("Al"), finish="STOP"), chunk(text("l."), finish="STOP"), chunk(usageMetadata={}))
    assert every.text == "All."


def test_calls_without_ids_get_ids_of_their_own_and_doubles_are_told_apart() -> None:
    same = [call("look", {"a": 1}), call("look", {"a": 2}), call("see", id="x"), call("see", id="x"), call("see", id=7)]
    calls = whole(chunk(*same, finish="STOP")).tool_calls
    assert [(one.name, one.arguments) for one in calls[:3]] == [("look", {"a": 1}), ("look", {"a": 2}), ("see", {})]
    assert calls[2].id == "x"
    assert len({one.id for one in calls}) == len(calls)
    assert all(one.id.startswith("loomwire-") for one in calls if one.id != "x")


@pytest.mark.parametrize("args", ["{cut", [1], 7])
def test_arguments_that_are_no_object_are_kept_raw(args: JSON) -> None:
    (one,) = whole(chunk(call("look", args), finish="MAX_TOKENS")).tool_calls
    assert one.arguments is None
    assert one.raw_arguments == (args if isinstance(args, str) else json.dumps(args))


def test_calls_with_stop_are_read_as_calls_and_with_an_error_as_an_error() -> None:
    assert whole(chunk(call("look"), finish="STOP")).finish == "tool_calls"
    assert whole(chunk(call("look"), finish="UNEXPECTED_TOOL_CALL")).finish == "error"


def test_only_the_first_candidate_is_read() -> None:
    two = {
        "candidates": [
            {"index": 1, **_first(chunk(text("no")))},
            {"index": 0, **_first(chunk(text("yes"), finish="STOP"))},
        ]
    }
    assert whole(two).text == "yes"
    assert streamed(two)[0].text == "yes"
    assert whole({"candidates": [{"index": 1, **_first(chunk(text("only")))}]}).text == "only"


def _first(value: JSON) -> dict[str, JSON]:
    made: dict[str, JSON] = json.loads(json.dumps(value))["candidates"][0]
    return made


def test_thinking_is_apart_from_the_text_and_keeps_its_signatures() -> None:
    response, events = streamed(
        chunk(thought("Let ")),
        chunk(thought("me think.")),
        chunk(thought(" More.", thoughtSignature="c2ln")),
        chunk(text("It ")),
        chunk(text("rains.")),
        chunk(thought("So.")),
        chunk(text("", "ZW5k"), finish="STOP"),
    )
    assert response.text == "It rains."
    assert response.reasoning == (
        Reasoning("Let me think.", origin="gemini"),
        Reasoning(" More.", "c2ln", origin="gemini"),
        Reasoning("So.", wire={"at": (9, 0)}, origin="gemini"),
        Reasoning("", "ZW5k", wire={"at": (9, 0), "text": 0}, origin="gemini"),
    )
    assert "".join(each.text for each in events if isinstance(each, ReasoningDelta)) == "Let me think. More.So."
    assert "".join(each.text for each in events if isinstance(each, TextDelta)) == "It rains."


def test_a_signature_alone_in_a_part_is_kept() -> None:
    response = whole(chunk(text("a"), {"thoughtSignature": "c2ln"}, {"thought": True}, {}, finish="STOP"))
    assert [item.signature for item in response.reasoning] == ["c2ln"]


def test_a_signature_on_a_call_stays_with_the_call() -> None:
    signed: JSON = {**_object(call("look", {"a": 1})), "thoughtSignature": "c2ln"}
    response, events = streamed(chunk(signed, finish="STOP"))
    assert response.reasoning == ()
    assert [one.signature for one in response.tool_calls] == ["c2ln"]
    assert [event.call for event in events if isinstance(event, ToolCallEnd)] == list(response.tool_calls)


def _object(value: JSON) -> dict[str, JSON]:
    assert isinstance(value, dict)
    return value


def test_too_many_kept_parts_are_refused() -> None:
    parts = [{"inlineData": {"mimeType": "image/png", "data": str(number)}} for number in range(MOST_ITEMS + 1)]
    with pytest.raises(LLMProtocolError, match="kept"):
        whole(chunk(*parts, finish="STOP"))


def test_usage_is_the_last_that_was_told_with_thinking_in_the_output() -> None:
    counts: dict[str, JSON] = {"promptTokenCount": 9, "toolUsePromptTokenCount": 4, "totalTokenCount": 13}
    last: JSON = {**counts, "candidatesTokenCount": 5, "thoughtsTokenCount": 7, "cachedContentTokenCount": 3}
    response, events = streamed(
        chunk(text("a"), usageMetadata=counts),
        chunk(text("b"), usageMetadata=counts),
        chunk(text("c"), finish="STOP", usageMetadata=last),
    )
    usage = response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens, usage.cache_read_tokens) == (13, 12, 7, 3)
    assert not usage.estimated
    assert sum(isinstance(event, UsageUpdate) for event in events) == 2


@pytest.mark.parametrize("told", [None, {}, [], "many", 7, {"promptTokenCount": None}, {"promptTokenCount": "nine"}])
def test_usage_that_says_nothing_is_unknown(told: JSON) -> None:
    assert not whole(chunk(text("a"), finish="STOP", usageMetadata=told)).usage.known


@pytest.mark.parametrize(
    "told",
    [
        {"promptTokenCount": -1, "totalTokenCount": -1},
        {"promptTokenCount": 9, "candidatesTokenCount": "five"},
        {"promptTokenCount": 9, "candidatesTokenCount": 9, "thoughtsTokenCount": -9},
        {"promptTokenCount": 10**30},
        {"promptTokenCount": 9, "cachedContentTokenCount": 90},
    ],
)
def test_usage_that_cannot_be_is_no_fact(told: JSON) -> None:
    usage = whole(chunk(text("a"), finish="STOP", usageMetadata=told)).usage
    assert usage.known
    assert usage.estimated
    assert 0 <= usage.input_tokens <= 100_000_000


def test_deep_json_is_refused_and_shallow_is_not() -> None:
    deep: JSON = {}
    for _ in range(WireLimits().json_depth + 1):
        deep = {"a": deep}
    with pytest.raises(LLMProtocolError, match="json_depth"):
        whole(chunk(text("a" * 2000), finish="STOP", extra=deep))
    assert whole(chunk(text("a" * 2000), finish="STOP", more={"unknown": [1]})).text == "a" * 2000


def test_names_come_from_whichever_chunk_has_them() -> None:
    response, _ = streamed(
        chunk(text("a")),
        chunk(text("b"), modelVersion="gemini-3.1-pro-preview", responseId=7),
        chunk(text("c"), finish="STOP", modelVersion="", responseId="r-1"),
    )
    assert (response.model, response.response_id) == ("gemini-3.1-pro-preview", "r-1")


def test_chunks_whose_names_are_known_are_checked_as_the_first_is() -> None:
    named = chunk(text("a"), modelVersion="m", responseId="r", usageMetadata={"promptTokenCount": 3})
    response, events = streamed(named, {"usageMetadata": {"promptTokenCount": 4}}, chunk(text("b"), finish="STOP"))
    assert (response.text, response.model, response.usage.input_tokens) == ("ab", "m", 4)
    assert [event.usage.input_tokens for event in events if isinstance(event, UsageUpdate)] == [3, 4]
    failures: list[JSON] = [{"message": "upstream went away"}, {"error": {"code": 503, "status": "UNAVAILABLE"}}]
    for broken in failures:
        with pytest.raises(LLMError) as caught:
            streamed(named, broken)
        assert caught.value.retryable
    with pytest.raises(LLMError) as caught:
        streamed(named, {"candidates": 5})
    assert caught.value.reason == "protocol"


def test_reading_an_answer_that_has_ended_says_nothing_more() -> None:
    answer = Answer(CONFIG)
    reader = DIALECT.reader(answer)
    reader.decode_event("message", json.dumps(chunk(text("a"), finish="STOP")).encode())
    assert reader.end()
    assert reader.end() == ()
