"""The fake provider says every reply as Bedrock does, and its errors and faults too."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.messages import Reasoning
from loomwire.domain.pricing import Usage
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import Finish, LLMResponse
from loomwire.domain.values import ToolCall
from loomwire.infrastructure.providers.bedrock.converse import BedrockConverse
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FAULTS, Failure, FakeProvider, Fault, ReceivedRequest, Reply
from loomwire.testing.contracts.client_claims.harness import told_by_stream
from loomwire.testing.pacing import Pace
from loomwire.testing.speakers.bedrock.frames import event
from loomwire.testing.speakers.bedrock.speaker import ConverseSpeaker
from loomwire.testing.speakers.eventstream import is_framed, reframed
from loomwire.testing.speakers.table import listing_for, speaker_for
from loomwire.testing.speaking import REFUSALS, Saying
from loomwire.testing.wire import HttpReply

CONFIG = LLMConfig.bedrock("m", region="us-east-1", api_key="k")
FULL = Reply(
    "Hello there.",
    (ToolCall("tooluse_a", "look", {"city": "Rome"}), ToolCall("", "ping", {})),
    "Hm, let me see.",
    usage=Usage(120, 30, 100, 5),
    signature="c2lnbmVk",
)
SLOW = frozenset(
    {"hang", "hang_after_headers", "stall", "slow_loris", "endless_body", "endless_line", "endless_header"}
)


def request(*, stream: bool, number: int = 7, body: bytes = b'{"messages":[]}') -> ReceivedRequest:
    path = f"/model/anthropic.claude%3A0/converse{'-stream' if stream else ''}"
    return ReceivedRequest("POST", path, b"", body, (number, 1, 1))


def said(reply: Reply, *, stream: bool, number: int = 7) -> Saying:
    worded = ConverseSpeaker().words(reply, request(stream=stream, number=number))
    assert isinstance(worded, Saying)
    return worded


def read(saying: Saying) -> LLMResponse[str]:
    """Read what was said with our own dialect."""
    dialect, answer = BedrockConverse(), Answer(CONFIG)
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
    assert (answer.text, answer.finish) == (FULL.text, "tool_calls")
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("look", {"city": "Rome"}), ("ping", {})]
    assert [call.id for call in answer.tool_calls] == ["tooluse_a", "tooluse_0000000000000000000001"]
    assert answer.reasoning == (Reasoning("Hm, let me see.", "c2lnbmVk", origin="bedrock"),)
    assert answer.usage == Usage(120, 30, 100, 5, reported_total=150)
    assert (saying.request_id, saying.id_header) == ("req-000000000007", "x-amzn-requestid")
    assert saying.content_type == ("application/vnd.amazon.eventstream" if stream else "application/json")
    assert saying.model == "anthropic.claude:0"


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter", "other", "error"])
def test_every_finish_has_its_word(finish: Finish) -> None:
    for stream in (False, True):
        told = read(said(Reply("Hi", finish=finish), stream=stream)).finish
        assert told == ("other" if finish == "error" else finish)


def test_every_payload_is_padded_as_bedrocks() -> None:
    lengths = {len(json.loads(data)["p"]) for _, data in _messages(said(FULL, stream=True))}
    assert len(lengths) > 3
    assert all(is_framed(each) for each in said(FULL, stream=True).events)


def _messages(saying: Saying) -> list[tuple[str, bytes]]:
    return [*BedrockConverse().framer(CONFIG.limits).feed(b"".join(saying.events))]


def test_a_reply_is_built_once_and_numbered_afterwards() -> None:
    speaker = ConverseSpeaker()
    first, second = (speaker.words(FULL, request(stream=True, number=number)) for number in (7, 8))
    assert isinstance(first, Saying)
    assert isinstance(second, Saying)
    assert first.events is second.events
    assert (first.request_id, second.request_id) == ("req-000000000007", "req-000000000008")
    for number in range(70):
        speaker.words(Reply(str(number)), request(stream=False))
    assert isinstance(speaker.words(FULL, request(stream=True)), Saying)


def test_a_reply_that_breaks_off_has_no_end() -> None:
    for stream in (False, True):
        saying = said(replace(FULL, cut_after=9), stream=stream)
        assert saying.cut
    assert [name for name, _ in _messages(said(replace(FULL, cut_after=9), stream=True))][-1] == "contentBlockStop"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"messages": 1}', b"\xff"])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    worded = ConverseSpeaker().words(FULL, request(stream=False, body=body))
    assert isinstance(worded, HttpReply)
    assert worded.status == 400
    assert worded.headers["x-amzn-errortype"].startswith("ValidationException:")
    assert ConverseSpeaker().asks("/elsewhere", b'{"messages":[]}') is None


@pytest.mark.parametrize("reason", REFUSALS)
def test_every_failure_is_told_and_read_by_its_reason(reason: str) -> None:
    reply = ConverseSpeaker().words(Reply(failure=Failure(reason, retry_after=2)), request(stream=True))
    assert isinstance(reply, HttpReply)
    headers = {name.lower(): value for name, value in reply.headers.items()}
    error = BedrockConverse().error_for(reply.status, headers, json.dumps(reply.body).encode(), CONFIG)
    assert (error.reason, error.retry_after, error.request_id) == (reason, 2, "req-000000000007")
    assert BedrockConverse().error_for(599, headers, b"{}", CONFIG).provider_code


@pytest.mark.parametrize("reason", REFUSALS)
def test_an_error_in_a_stream_has_the_same_reason(reason: str) -> None:
    saying = replace(said(FULL, stream=True), events=(ConverseSpeaker().error_event(Failure(reason)),))
    with pytest.raises(LLMError) as caught:
        read(saying)
    assert caught.value.reason == reason


def test_paths_and_listings_are_the_services() -> None:
    assert isinstance(speaker_for("/v1/model/m/converse-stream"), ConverseSpeaker)
    assert not ConverseSpeaker().serves("/model/m/invoke")
    assert not ConverseSpeaker().serves("/model/a/b/converse")
    listed = listing_for("/foundation-models", ("a", "b"))
    assert listed is not None
    rows = json.loads(json.dumps(listed.body))["modelSummaries"]
    assert [row["modelId"] for row in rows] == ["a", "b"]


def test_a_frame_with_another_payload_is_right_again() -> None:
    changed = reframed(event("ping", b"{}"), lambda text: text + b" " * 9)
    assert is_framed(changed)
    assert not is_framed(changed[:-1])
    assert not is_framed(b"data: {}\n\n")
    (message,) = BedrockConverse().framer(CONFIG.limits).feed(changed)
    assert message == ("ping", b"{}" + b" " * 9)


CONTENT = [name for name, kind in FAULTS.items() if kind.strikes in ("body", "content") and name not in SLOW]
RIGHT_IN_STREAMS = frozenset({"crlf", "comments", "bad_sse", "two_choices", "byte_split", "two_documents", "u2028"})


async def faulty(name: str, reply: Reply, *, stream: bool) -> LLMResponse[str] | LLMError:
    """Return how a fault of a reply ends."""
    pool = ConnectionPool()
    async with FakeProvider(Fault(name, reply)) as provider:
        config = LLMConfig.bedrock("m", api_key="k", base_url=provider.base_url, allow_private=True)
        client = ClientFactory(pool, SystemClock()).create(config)
        asked = LLMRequest.of("Hi", deadline_s=5.0)
        try:
            return await (told_by_stream(client, asked) if stream else client.generate(asked))
        except LLMError as error:
            return error
        finally:
            await pool.aclose()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("name", CONTENT)
async def test_no_fault_gives_a_wrong_answer(name: str, stream: bool) -> None:
    calls = (ToolCall("tooluse_a", "first", {"n": 1}), ToolCall("tooluse_b", "second", {"n": 2}))
    reply = Reply("The harbour opens at seven.", calls, usage=Usage(1000, 100))
    ended = await faulty(name, reply, stream=stream)
    if stream and name in RIGHT_IN_STREAMS:
        assert not isinstance(ended, LLMError)
    if isinstance(ended, LLMError):
        return
    assert ended.text == Fault(name, reply).said
    assert [(call.name, call.arguments) for call in ended.tool_calls] == [("first", {"n": 1}), ("second", {"n": 2})]
    used = ended.usage
    assert not used.known or used.estimated or (used.input_tokens, used.output_tokens) == (1000, 100)


@pytest.mark.parametrize("name", ["bad_json", "null_data", "deep_json", "utf16", "duplicate_keys", "lone_surrogates"])
def test_faults_of_what_is_said_leave_the_frames_right(name: str) -> None:
    played = Fault(name, FULL).pieces(request(stream=True))
    sent = b"".join(piece for piece in played if isinstance(piece, bytes)).partition(b"\r\n\r\n")[2]
    body = b""
    while sent and not sent.startswith(b"0\r\n"):
        size, _, rest = sent.partition(b"\r\n")
        body, sent = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    framer = BedrockConverse().framer(CONFIG.limits)
    retold = FAULTS[name].retell
    told = said(FULL if retold is None else retold(FULL), stream=True)
    assert len([*framer.feed(body), *framer.flush()]) == len(told.events)


def test_a_pace_is_kept() -> None:
    asked = request(stream=True)
    asked.pace = Pace(tokens_per_s=1000.0)
    worded = ConverseSpeaker().words(FULL, asked)
    assert isinstance(worded, Saying)
    assert worded.pace is not None
