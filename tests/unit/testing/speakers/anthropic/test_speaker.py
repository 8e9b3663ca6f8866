"""The fake provider says every reply as Anthropic does, and its errors and faults too."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.messages import Reasoning
from loomwire.domain.pricing import Usage
from loomwire.domain.responses import Finish, LLMResponse
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.anthropic.messages import AnthropicMessages
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.testing import Failure, ReceivedRequest, Reply
from loomwire.testing.speakers.anthropic.speaker import MessagesSpeaker
from loomwire.testing.speaking import REFUSALS, Saying
from loomwire.testing.wire import HttpReply

CONFIG = LLMConfig.anthropic("claude", api_key="k")
FULL = Reply(
    "Hello there.",
    (ToolCall("toolu_a", "look", {"city": "Rome"}), ToolCall("", "ping", {})),
    "Hm, let me see.",
    usage=Usage(120, 30, 100, 5, 20),
    signature="c2lnbmVk",
)


def request(*, stream: bool, number: int = 7, **fields: JSON) -> ReceivedRequest:
    body = {"model": "claude", "max_tokens": 9, "messages": [], "stream": stream, **fields}
    return ReceivedRequest("POST", "/v1/messages", b"", json.dumps(body).encode(), (number, 1, 1))


def said(reply: Reply, *, stream: bool, number: int = 7) -> Saying:
    worded = MessagesSpeaker().words(reply, request(stream=stream, number=number))
    assert isinstance(worded, Saying)
    return worded


def read(saying: Saying) -> LLMResponse[str]:
    """Read what was said with our own dialect."""
    dialect, answer = AnthropicMessages(), Answer(CONFIG)
    if not saying.is_stream:
        dialect.decode(saying.body, answer)
        return answer.result()
    framer, reader = dialect.framer(CONFIG.limits), dialect.reader(answer)
    for name, data in (*framer.feed(b"".join(saying.events)), *framer.flush()):
        reader.decode_event(name, data)
    reader.end()
    return answer.result()


@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_is_said_whole_and_in_events(stream: bool) -> None:
    saying = said(FULL, stream=stream)
    answer = read(saying)
    assert answer.reasoning == (Reasoning("Hm, let me see.", "c2lnbmVk", origin="anthropic"),)
    assert (answer.text, answer.finish, answer.usage) == ("Hello there.", "tool_calls", FULL.usage)
    assert [(call.id, call.name, call.arguments) for call in answer.tool_calls] == [
        ("toolu_a", "look", {"city": "Rome"}),
        ("toolu_1", "ping", {}),
    ]
    assert (answer.model, answer.response_id, saying.request_id) == ("claude", "msg_000000000007", "req-000000000007")
    assert b"\r\nrequest-id: req-000000000007\r\n" in saying.head()


def test_a_stream_has_the_vendors_events_in_their_order() -> None:
    names = [event.partition(b"\n")[0].removeprefix(b"event: ").decode() for event in said(FULL, stream=True).events]
    kinds = list(dict.fromkeys(names))
    assert kinds == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert names.count("content_block_start") == names.count("content_block_stop") == 4


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        (None, "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("pause", "pause_turn"),
        ("other", "other"),
    ],
)
def test_an_end_has_the_vendors_word(finish: Finish | None, word: str) -> None:
    assert json.loads(said(Reply("x", finish=finish), stream=False).body)["stop_reason"] == word
    assert read(said(Reply("x", finish=finish), stream=True)).finish_wire == word


def test_a_cut_reply_has_no_end_and_usage_is_counted_when_nobody_tells_it() -> None:
    assert b"message_delta" not in b"".join(said(Reply("Hello there.", cut_after=5), stream=True).events)
    assert read(said(Reply("12345678"), stream=False)).usage.output_tokens == 2


def test_what_is_said_is_built_once_and_only_numbered() -> None:
    speaker, reply = MessagesSpeaker(), Reply("Hello there.")
    first, second = (speaker.words(reply, request(stream=True, number=number)) for number in (1, 2))
    assert isinstance(first, Saying)
    assert isinstance(second, Saying)
    assert first.events[1:] == second.events[1:]
    assert b"msg_000000000002" in second.events[0]
    for number in range(70):
        speaker.words(Reply(str(number)), request(stream=False))


@pytest.mark.parametrize(
    "body", [b"{}", b"\xff", b'{"model": "m", "messages": []}', b'{"max_tokens": 1, "messages": 3}']
)
def test_a_request_that_is_none_of_the_dialect_is_refused(body: bytes) -> None:
    asked = ReceivedRequest("POST", "/v1/messages", b"", body, (3, 1, 1))
    refused = MessagesSpeaker().words(Reply("x"), asked)
    assert isinstance(refused, HttpReply)
    assert (refused.status, refused.headers["request-id"]) == (400, "req-000000000003")


@pytest.mark.parametrize("reason", REFUSALS)
def test_every_failure_is_read_as_what_it_is(reason: str) -> None:
    failure = Failure(reason, "Because.", retry_after=3)
    refused = MessagesSpeaker().words(Reply(failure=failure), request(stream=False))
    assert isinstance(refused, HttpReply)
    assert isinstance(refused.body, Mapping)
    assert refused.body["request_id"] == refused.headers["request-id"]
    error = AnthropicMessages().error_for(refused.status, refused.headers, json.dumps(refused.body).encode(), CONFIG)
    assert (error.reason, error.retry_after) == (reason, 3.0)


@pytest.mark.parametrize("reason", ["overloaded", "throttled", "context_length", "credentials", "stream_interrupted"])
def test_a_failure_inside_a_stream_is_an_event(reason: str) -> None:
    event = MessagesSpeaker().error_event(Failure(reason))
    assert event.startswith(b"event: error\ndata: {")
    with pytest.raises(LLMError) as caught:
        read_stream(event)
    assert caught.value.reason == (reason if reason != "stream_interrupted" else "server")


def read_stream(*events: bytes) -> None:
    framer, reader = AnthropicMessages().framer(CONFIG.limits), AnthropicMessages().reader(Answer(CONFIG))
    for name, data in framer.feed(b"".join(events)):
        reader.decode_event(name, data)


def test_the_models_are_listed_where_they_are_asked_for() -> None:
    speaker = MessagesSpeaker()
    listing = speaker.listing("/v1/models", ["a", "b"])
    assert listing is not None
    assert isinstance(listing.body, Mapping)
    assert (listing.body["first_id"], listing.body["last_id"], listing.body["has_more"]) == ("a", "b", False)
    assert speaker.listing("/v1/models", []) is not None
    assert speaker.listing("/v1/messages", ["a"]) is None
    assert (speaker.serves("/v1/messages"), speaker.serves("/v1/chat/completions")) == (True, False)


RIGHT = {"no_finish_reason", "content_parts", "no_call_id", "same_call_id", "same_call_index", "stray_call_index"} | {
    "duplicate_keys",
    "negative_usage",
    "foreign_answer",
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reply", [Reply("Hello there."), Reply(tool_calls=FULL.tool_calls)], ids=["text", "calls"])
def test_a_spoiled_answer_is_read_right_or_is_a_typed_error(reply: Reply, stream: bool) -> None:
    saying = said(reply, stream=stream)
    right = read(saying)
    for name, spoiled in MessagesSpeaker().spoiled(saying).items():
        if name in RIGHT or (name == "message_in_stream" and not stream):
            answer = read(spoiled)
            assert answer.text == right.text
            assert [call.arguments for call in answer.tool_calls] == [call.arguments for call in right.tool_calls]
        else:
            with pytest.raises(LLMError):
                read(spoiled)
