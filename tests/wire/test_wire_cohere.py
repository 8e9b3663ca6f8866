"""Cohere's recordings: what the generic checks do not cover of the answers, and the requests."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from loomwire.domain.errors import LLMError
from loomwire.domain.messages import Message
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.wire.answer import Answer
from support.rebuilding_cohere import rebuilt
from support.wire_playback import Recording, parameters, recordings
from support.wire_requests import check_body, differences

EXCEPTIONS: Mapping[str, str] = {
    "-stream": "false is what it is without the field",
    "messages.*.content": "a text alone stands for a list of one part",
    "-messages.*.content": "an empty text beside tool calls is left out, as in Cohere's own answers",
    "-tools.*.function.description": "an empty description is left out",
    "tools.*.function.parameters.properties.name.type": "str is no type of JSON Schema; loomwire refuses it",
    "tools.*.function.parameters.properties.age.type": "int is no type of JSON Schema; loomwire refuses it",
}
"""Where our request differs from the recorded one, and why."""

every_recording = pytest.mark.parametrize("recording", parameters("chat_v2"))
with_recordings = pytest.mark.skipif(not recordings("chat_v2"), reason="no recordings: set LOOMWIRE_WIRE_DIR")


def answered(recording: Recording) -> LLMResponse[str]:
    """Read a recorded answer."""
    config, dialect = recording.target(), recording.dialect
    answer = Answer(config)
    if not recording.is_stream:
        dialect.decode(recording.body, answer)
        return answer.result()
    framer, reader = dialect.framer(config.limits), dialect.reader(answer)
    for name, data in (*framer.feed(recording.body), *framer.flush()):
        reader.decode_event(name, data)
    reader.end()
    return answer.result()


def extra_of(response: LLMResponse[str], name: str) -> JSON:
    """Return what the answer's items carry under a name."""
    return next((item.wire[name] for item in response.reasoning if item.wire and name in item.wire), None)


@every_recording
def test_wire_plan_citations_and_thinking_are_kept(recording: Recording) -> None:
    if recording.error is not None:
        return
    response = answered(recording)
    citations = extra_of(response, "citations") or ()
    assert isinstance(citations, tuple)
    assert len(citations) == recording.expect.get("citations", 0)
    assert extra_of(response, "tool_plan") == recording.expect.get("tool_plan")
    assert all(item.origin == "cohere" for item in response.reasoning)


@every_recording
def test_wire_what_was_said_goes_back_unchanged(recording: Recording) -> None:
    if recording.error is not None:
        return
    response = answered(recording)
    sent = json.loads(
        recording.dialect.encode(LLMRequest((Message.user("Hi"), response.message)), recording.target(), stream=False)
    )
    back = sent["messages"][1]
    assert back.get("tool_plan") == recording.expect.get("tool_plan")
    calls = [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in back.get("tool_calls", ())
    ]
    assert calls == [(call.id, call.name, call.arguments) for call in response.tool_calls]
    content = back.get("content", [])
    thinking = "".join(part.get("thinking", "") for part in content if not isinstance(part, str))
    assert thinking == recording.expect.get("reasoning", "")
    assert "citations" not in back


@with_recordings
def test_wire_a_failed_stream_has_the_words_of_its_end() -> None:
    failed = [each for each in recordings("chat_v2") if each.error is not None and each.is_stream]
    for recording in failed:
        with pytest.raises(LLMError) as caught:
            answered(recording)
        assert recording.error is not None
        assert caught.value.provider_message == recording.error["message"]
        assert caught.value.provider_code == recording.error["provider_type"]


@every_recording
def test_wire_request_is_written_as_it_was_sent(recording: Recording) -> None:
    request, config = rebuilt(recording)
    check_body(recording, recording.dialect.encode(request, config, stream=recording.is_stream), EXCEPTIONS)


@with_recordings
def test_wire_every_exception_is_needed() -> None:
    needed: set[str] = set()
    for recording in recordings("chat_v2"):
        request, config = rebuilt(recording)
        sent = json.loads(recording.dialect.encode(request, config, stream=recording.is_stream))
        needed |= set(differences(recording.request, sent))
    assert needed == EXCEPTIONS.keys()
