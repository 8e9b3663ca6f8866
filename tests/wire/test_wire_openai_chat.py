"""What we write for chat completions is what the recorded programs sent, but for a short list of differences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.policies import WireLimits
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.speech import dialect_of, speech
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.dialect import Dialect
from support.rebuilding_openai_chat import canonical, rebuilt
from support.wire_playback import Recording, recordings
from support.wire_requests import check_body

EXCEPTIONS: Mapping[str, str] = {
    "-stream": "false is what a request without it means",
    "-tool_choice": "auto is what a request without it means",
    "-tools.*.function.description": "an empty one says nothing",
    "-tools.*.function.strict": "false is what a tool without it means",
    "-messages.*.content.*.image_url.detail": "auto is what a picture without it means",
    "-messages.*.prefix": "false is what a message without it means (Mistral)",
    "-messages.*.tool_calls.*.index": "counts only in a stream (Mistral)",
    "messages.*.content.*.image_url": "Mistral takes an address alone or, as we write it, in an object",
    "+stream_options": "they did not want the usage",
    "-max_tokens": "the vendor's page calls it max_completion_tokens",
    "+max_completion_tokens": "see -max_tokens",
    "-max_completion_tokens": "the vendor's page calls it max_tokens",
    "+max_tokens": "see -max_completion_tokens",
    "+model": "a deployment's path names it already; Azure's own SDK sends it too",
    "model": "the body of a deployment names another model, which Azure ignores",
    "-messages.*.reasoning": "nobody knows whether a custom server wants its thinking back; `reasoning_back` says so",
    "-messages.*.reasoning_content": "see -messages.*.reasoning",
}
SENT = [
    each
    for each in recordings("chat_completions")
    if isinstance(each.request, Mapping) and each.request["messages"]  # one shows what an empty conversation gives
]
every_request = pytest.mark.parametrize(
    "recording",
    [pytest.param(each, id=each.name) for each in SENT]
    or [pytest.param(None, id="absent", marks=pytest.mark.skip(reason="no recordings: set LOOMWIRE_WIRE_DIR"))],
)


def spoken(config: LLMConfig) -> Dialect:
    """Return the dialect of a target."""
    return dialect_of(speech(config, PROVIDERS[config.type], DIALECTS), DIALECTS)


def differences(recording: Recording) -> set[str]:
    """Fail unless the request is written as it was sent; returns the exceptions that this needed."""
    request, config, stream = rebuilt(recording)
    sent = json.loads(spoken(config).encode(request, config, stream=stream))
    same = replace(recording, request=canonical(recording.request))
    return check_body(same, json.dumps(canonical(sent)).encode(), EXCEPTIONS)


@every_request
def test_wire_request_is_written_as_it_was_sent(recording: Recording) -> None:
    assert differences(recording) <= EXCEPTIONS.keys()


@every_request
def test_wire_request_goes_where_it_was_sent(recording: Recording) -> None:
    _, config, stream = rebuilt(recording)
    ours, theirs = urlsplit(f"{config.base_url}{spoken(config).path(config, stream=stream)}"), urlsplit(recording.url)
    assert (ours.path, ours.query) == (theirs.path.replace("//", "/"), theirs.query)


ANSWERED = [each for each in recordings("chat_completions") if each.status == 200]
JUNK: Sequence[JSON] = (None, True, -1, 1e308, "", "x", [], [None], {}, {"error": {}}, [[{}]], "\ud800")


@given(st.data())
@settings(max_examples=300)
@pytest.mark.skipif(not ANSWERED, reason="no recordings: set LOOMWIRE_WIRE_DIR")
def test_wire_answer_with_anything_changed_is_an_answer_or_a_typed_error(data: st.DataObject) -> None:
    recording = data.draw(st.sampled_from(ANSWERED))
    lines = recording.body.split(b"\n") if recording.is_stream else [recording.body]
    places = [at for at, line in enumerate(lines) if b"{" in line]
    at = data.draw(st.sampled_from(places))
    start = lines[at].index(b"{")
    changed = _changed(json.loads(lines[at][start:]), data)
    lines[at] = lines[at][:start] + json.dumps(changed).encode()
    answer = Answer(recording.target())
    try:
        if recording.is_stream:
            reader, framer = recording.dialect.reader(answer), recording.dialect.framer(WireLimits())
            for name, event in (*framer.feed(b"\n".join(lines)), *framer.flush()):
                reader.decode_event(name, event)
            reader.end()
        else:
            recording.dialect.decode(lines[0], answer)
    except LLMError:
        return
    assert answer.result() is not None


def _changed(value: JSON, data: st.DataObject) -> JSON:
    """Return JSON in which one place, somewhere, is gone or something else."""
    here = data.draw(st.booleans())
    if not here and isinstance(value, Mapping) and value:
        key = data.draw(st.sampled_from(sorted(value)))
        if data.draw(st.integers(0, 4)) == 0:
            return {name: each for name, each in value.items() if name != key}
        return {**value, key: _changed(value[key], data)}
    if not here and isinstance(value, list) and value:
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], _changed(value[at], data), *value[at + 1 :]]
    return data.draw(st.sampled_from(JUNK))


@pytest.mark.skipif(not SENT, reason="no recordings: set LOOMWIRE_WIRE_DIR")
def test_wire_request_exceptions_are_all_needed() -> None:
    assert set().union(*map(differences, SENT)) == EXCEPTIONS.keys()


@pytest.mark.skipif(not SENT, reason="no recordings: set LOOMWIRE_WIRE_DIR")
def test_wire_requests_are_many_and_of_every_kind() -> None:
    asked = [rebuilt(each)[0] for each in SENT]
    assert len(SENT) > 80
    assert any(each.has_images for each in asked)
    assert any(each.output is not None and each.output.schema for each in asked)
    assert any(message.cache_point for each in asked for message in each.messages)
    assert {bool(each.tools) for each in asked} == {True, False}
