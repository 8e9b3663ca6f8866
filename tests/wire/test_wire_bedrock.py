"""What only Bedrock's recordings say: the framing of streams, and that we write what other programs wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from loomwire.infrastructure.providers.speech import dialect_of, speech
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.transport.framing.eventstream import EventStreamDecoder
from support.json_reading import whole
from support.rebuilding_bedrock import rebuilt, spelled_out
from support.wire_playback import Recording, parameters, recordings
from support.wire_requests import check_body

EXCEPTIONS: Mapping[str, str] = {
    "-inferenceConfig": "an empty object says nothing",
    "-inferenceConfig.stopSequences": "an empty list says nothing",
    "-system": "an empty list says nothing",
    "+outputConfig.schema.additionalProperties": "AWS's page on structured outputs wants every object closed",
}
APIS = ("converse", "converse_stream")


def sent() -> list[Recording]:
    """Return the recordings whose request was recorded."""
    return [one for one in recordings(*APIS) if one.request is not None]


@pytest.mark.parametrize("recording", parameters("converse_stream"))
def test_wire_stream_has_every_event_and_its_padding_is_no_part_of_the_answer(recording: Recording) -> None:
    decoder = EventStreamDecoder()
    messages = decoder.feed(recording.body) + decoder.flush()
    assert not decoder.unfinished
    assert decoder.stray == b""
    assert len(messages) == whole(recording.expect["stream"])["events"]
    assert all("p" in json.loads(message.data) for message in messages)
    assert (messages[0].event, messages[-1].event) == ("messageStart", "metadata")


@pytest.mark.parametrize("recording", parameters(*APIS))
def test_wire_path_names_the_model_as_other_programs_do(recording: Recording) -> None:
    _, config = rebuilt(recording)
    path = recording.dialect.path(config, stream=recording.api == "converse_stream")
    # One of them leaves the colon as it is, which means the same.
    assert recording.url.replace("v1:0", "v1%3A0").endswith(path)


@pytest.mark.parametrize("recording", parameters("converse"))
def test_wire_error_names_its_kind_which_stands_in_a_header(recording: Recording) -> None:
    if recording.error is None:
        return
    error = recording.dialect.error_for(recording.status, recording.headers, recording.body, recording.target())
    assert f"{error.provider_code}:" in recording.headers["x-amzn-errortype"]
    assert error.provider_message == recording.error["message"]
    assert error.request_id == recording.headers.get("x-amzn-requestid")


@pytest.mark.parametrize("recording", parameters("converse_stream"))
def test_wire_thinking_without_proof_is_kept_as_it_is(recording: Recording) -> None:
    answer = Answer(recording.target())
    framer, reader = recording.dialect.framer(answer.config.limits), recording.dialect.reader(answer)
    for name, data in (*framer.feed(recording.body), *framer.flush()):
        reader.decode_event(name, data)
    thoughts = [(item.text, item.signature, item.origin) for item in answer.result().reasoning if item.wire is None]
    said = recording.expect["reasoning"]
    assert thoughts == ([(said, None, "bedrock")] if said else [])


def test_wire_requests_are_written_as_other_programs_wrote_them() -> None:
    needed: set[str] = set()
    for recording in sent():
        request, config = rebuilt(recording)
        own = replace(recording, request=spelled_out(recording.request))
        dialect = dialect_of(speech(config, PROVIDERS[config.type], DIALECTS), DIALECTS)
        body = json.loads(dialect.encode(request, config, stream=recording.api == "converse_stream"))
        needed |= check_body(own, json.dumps(spelled_out(body)).encode(), EXCEPTIONS)
    if sent():
        assert needed == EXCEPTIONS.keys()
