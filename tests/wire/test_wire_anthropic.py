"""What only Anthropic's recordings say: signatures, kept blocks, and that we write what other programs wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from loomwire.domain.messages import Message
from loomwire.domain.requests import LLMRequest, Parameters
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.wire.answer import Answer
from support.json_reading import objects, whole
from support.rebuilding_anthropic import rebuilt, spelled_out
from support.wire_playback import Recording, parameters, recordings
from support.wire_requests import check_body

EXCEPTIONS: Mapping[str, str] = {
    "-stream": "false is what a missing field says",
    "-tools.*.description": "an empty description says nothing",
    "-messages.*.content.*.is_error": "false is what a missing field says",
    "-messages.*.content.*.cache_control.ttl": "5m is the vendor's default, and we have no other",
    "messages.*.content.*.content": "a tool's result is a text or JSON to us, which goes as text; theirs is a picture",
}


def answered(*, sent: bool = False) -> list[Recording]:
    """Return the recordings that hold an answer; with `sent` those whose request was recorded."""
    good = [one for one in recordings("messages") if one.status < 300 and one.error is None]
    return [one for one in good if one.request is not None] if sent else good


def read(recording: Recording) -> LLMResponse[str]:
    """Return the answer of a recording, streams read at once."""
    dialect, answer = recording.dialect, Answer(recording.target())
    if not recording.is_stream:
        dialect.decode(recording.body, answer)
        return answer.result()
    framer, reader = dialect.framer(answer.config.limits), dialect.reader(answer)
    for name, data in (*framer.feed(recording.body), *framer.flush()):
        reader.decode_event(name, data)
    reader.end()
    return answer.result()


def again(recording: Recording) -> list[Mapping[str, JSON]]:
    """Return the blocks of the answer as they go back in the next request."""
    message = read(recording).message
    request = LLMRequest((Message.user("Hi"), message, Message.user("And?")), parameters=Parameters(max_tokens=9))
    body = json.loads(recording.dialect.encode(request, recording.target(), stream=False))
    turns = spelled_out(body)["messages"]
    return [block for turn in objects(turns) if turn["role"] == "assistant" for block in objects(turn["content"])]


@pytest.mark.parametrize("recording", parameters("messages"))
def test_wire_reasoning_keeps_its_length_and_its_proof(recording: Recording) -> None:
    if recording not in answered():
        return
    thoughts = [item for item in read(recording).reasoning if item.wire is None]
    wanted = objects(recording.expect.get("reasoning_items"))
    assert len(thoughts) == len(wanted)
    for item, want in zip(thoughts, wanted, strict=True):
        assert item.origin == "anthropic"
        if want["type"] == "redacted_thinking":
            assert len(item.redacted or "") == want["data_chars"]
        else:
            assert (len(item.text), item.signature) == (want["chars"], want["signature"])


@pytest.mark.parametrize("recording", parameters("messages"))
def test_wire_blocks_go_back_in_the_order_in_which_they_came(recording: Recording) -> None:
    if recording in answered():
        kinds = [block["type"] for block in again(recording)]
        assert kinds == list(_list(recording.expect.get("output_types")))


def _list(value: JSON) -> list[JSON]:
    return list(value) if isinstance(value, list) else []


def test_wire_server_tools_blocks_go_back_unchanged() -> None:
    found = [one for one in answered() if "server-tools" in one.name]
    for recording in found:
        thinking, first, use, result, last = again(recording)
        assert whole(use["input"])["command"] == 'echo "65465-6544 * 65464-6+1.02255" | bc -l'
        assert (use["type"], use["id"]) == ("server_tool_use", result["tool_use_id"])
        assert whole(result["content"])["stdout"] == "-428330955.97745\n"
        assert thinking["signature"]
        assert f"{first['text']}{last['text']}" == recording.expect["text"]
    assert found or not answered()


def test_wire_requests_are_written_as_other_programs_wrote_them() -> None:
    needed: set[str] = set()
    for recording in answered(sent=True):
        request, config = rebuilt(recording)
        streamed = whole(recording.request).get("stream") is True
        body = json.loads(recording.dialect.encode(request, config, stream=streamed))
        theirs = replace(recording, request=spelled_out(recording.request))
        needed |= check_body(theirs, json.dumps(spelled_out(body)).encode(), EXCEPTIONS)
    if answered():
        assert needed == EXCEPTIONS.keys()
