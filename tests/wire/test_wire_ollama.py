"""Ollama's recorded requests are written as they were sent, and what was said goes back."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from loomwire.domain.messages import Message
from loomwire.domain.requests import LLMRequest
from loomwire.infrastructure.providers.wire.answer import Answer
from support.rebuilding_ollama import rebuilt
from support.wire_playback import Recording, parameters, recordings
from support.wire_requests import check_body, differences

EXCEPTIONS: Mapping[str, str] = {
    "-options": "an empty object is what it is without the field",
    "-tools": "an empty list is what it is without the field",
}
"""Where our request differs from the recorded one, and why."""

every_recording = pytest.mark.parametrize("recording", parameters("ollama_chat"))
with_recordings = pytest.mark.skipif(not recordings("ollama_chat"), reason="no recordings: set LOOMWIRE_WIRE_DIR")


def asked(found: Recording) -> bool:
    """Tell whether the request was recorded: a quotation from a thread has none."""
    return found.request is not None


@every_recording
def test_wire_request_is_written_as_it_was_sent(recording: Recording) -> None:
    if asked(recording):
        request, config = rebuilt(recording)
        check_body(recording, recording.dialect.encode(request, config, stream=recording.is_stream), EXCEPTIONS)


@with_recordings
def test_wire_every_exception_is_needed() -> None:
    needed: set[str] = set()
    for recording in filter(asked, recordings("ollama_chat")):
        request, config = rebuilt(recording)
        sent = json.loads(recording.dialect.encode(request, config, stream=recording.is_stream))
        needed |= set(differences(recording.request, sent))
    assert needed == EXCEPTIONS.keys()


@every_recording
def test_wire_what_was_said_goes_back_unchanged(recording: Recording) -> None:
    if recording.error is not None or recording.is_stream:
        return
    answer = Answer(recording.target())
    recording.dialect.decode(recording.body, answer)
    response = answer.result()
    sent = json.loads(
        recording.dialect.encode(LLMRequest((Message.user("Hi"), response.message)), recording.target(), stream=False)
    )
    said, back = json.loads(recording.body)["message"], sent["messages"][1]
    assert (back["content"], back.get("thinking", "")) == (said["content"], said.get("thinking", ""))
    calls = [
        (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in said.get("tool_calls", ())
    ]
    assert calls == [
        (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in back.get("tool_calls", ())
    ]
