"""Gemini's recordings beyond what all dialects share: signatures, blocks, kept parts, and that requests are as sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.messages import Message
from loomwire.domain.policies import WireLimits
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.speech import dialect_of, speech
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.dialect import Dialect
from support.rebuilding_gemini import canonical, rebuilt
from support.wire_playback import Recording, recordings
from support.wire_requests import check_body

EXCEPTIONS: Mapping[str, str] = {
    "-model": "the path names it",
    "-toolConfig": "AUTO is what a request without it means",
    "-generationConfig": "an empty one says nothing",
    "-systemInstruction": "an empty one says nothing",
    "-systemInstruction.role": "instructions have no speaker; Google ignores it",
    "-tools.*.functionDeclarations.*.description": "an empty one says nothing",
    "-contents.*.parts.*.thought": "false is what a part without it means",
    "-contents.*.parts.*.functionResponse.parts": "a `ToolResult` holds JSON and no files",
    "contents.*.parts": "a message of ours holds pictures and no other files",
}
"""Paths as `support.wire_requests.differences` yields them, each with the reason."""

JUNK: Sequence[JSON] = [None, True, -1, 0.5, "", "word", [], [None], {}, {"a": 1}, [[]], 10**30]
SENT = [each for each in recordings("generate_content") if isinstance(each.request, Mapping)]
GOOD = [each for each in recordings("generate_content") if each.error is None]
every_request = pytest.mark.parametrize(
    "recording",
    [pytest.param(each, id=each.name) for each in SENT]
    or [pytest.param(None, id="absent", marks=pytest.mark.skip(reason="no recordings: set LOOMWIRE_WIRE_DIR"))],
)
every_answer = pytest.mark.parametrize(
    "recording",
    [pytest.param(each, id=each.name) for each in GOOD]
    or [pytest.param(None, id="absent", marks=pytest.mark.skip(reason="no recordings: set LOOMWIRE_WIRE_DIR"))],
)


def spoken(config: LLMConfig) -> Dialect:
    """Return the dialect of a target."""
    return dialect_of(speech(config, PROVIDERS[config.type], DIALECTS), DIALECTS)


def read(recording: Recording, body: bytes | None = None) -> LLMResponse[str]:
    """Return the answer of a recording, or of a body in its place."""
    body = recording.body if body is None else body
    answer = Answer(recording.target())
    dialect = recording.dialect
    if not recording.is_stream:
        dialect.decode(body, answer)
        return answer.result()
    framer, reader = dialect.framer(WireLimits()), dialect.reader(answer)
    for name, data in (*framer.feed(body), *framer.flush()):
        reader.decode_event(name, data)
    reader.end()
    return answer.result()


def differences(recording: Recording) -> set[str]:
    """Fail unless the request is written as it was sent; returns the exceptions that this needed."""
    request, config, stream = rebuilt(recording)
    sent = canonical(json.loads(spoken(config).encode(request, config, stream=stream)))
    same = replace(recording, request=canonical(recording.request))
    return check_body(same, json.dumps(sent).encode(), EXCEPTIONS)


@every_request
def test_wire_request_is_written_as_it_was_sent(recording: Recording) -> None:
    assert differences(recording) <= EXCEPTIONS.keys()


@every_request
def test_wire_request_goes_where_it_was_sent(recording: Recording) -> None:
    _, config, stream = rebuilt(recording)
    ours, theirs = urlsplit(f"{config.base_url}{spoken(config).path(config, stream=stream)}"), urlsplit(recording.url)
    assert ours.path == theirs.path
    # The others asked for enums as numbers, and for a JSON array by not asking for events.
    assert ours.query == theirs.query or "enum-encoding" in theirs.query


@pytest.mark.skipif(not SENT, reason="no recordings: set LOOMWIRE_WIRE_DIR")
def test_wire_request_exceptions_are_all_needed() -> None:
    assert set().union(*map(differences, SENT)) == EXCEPTIONS.keys()


@pytest.mark.skipif(not SENT, reason="no recordings: set LOOMWIRE_WIRE_DIR")
def test_wire_requests_are_many_and_of_every_kind() -> None:
    asked = [rebuilt(each)[0] for each in SENT]
    assert len(SENT) > 20
    assert any(each.has_images for each in asked)
    assert any(each.output is not None and each.output.schema for each in asked)
    assert {bool(each.tools) for each in asked} == {True, False}


@every_answer
def test_wire_signatures_and_blocks_are_all_kept(recording: Recording) -> None:
    response, expect = read(recording), recording.expect
    signatures = [each.signature for each in response.tool_calls] + [each.signature for each in response.reasoning]
    assert sum(each is not None for each in signatures) == expect.get("thought_signatures", 0)
    assert expect.get("block_reason") in (None, response.finish_wire)
    assert all(item.origin == "gemini" for item in response.reasoning)
    kept = {name for item in response.reasoning for name in _part(item.wire)}
    assert kept == set(_list(expect.get("part_kinds"))) - {"text", "functionCall"}


@every_answer
def test_wire_answer_goes_back_as_it_came(recording: Recording) -> None:
    response = read(recording)
    request = LLMRequest.of("Hi").extended(response.message, Message.user("And?"))
    config = replace(recording.target(), model=response.model)
    sent = json.loads(spoken(config).encode(request, config, stream=False))["contents"][1]
    assert sent == {"role": "model", "parts": came(recording)}


def came(recording: Recording) -> JSON:
    """Return the parts of a recorded answer, neighbouring pieces of one text joined, as they must go back."""
    body = recording.body.decode()
    lines = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]
    chunks = [json.loads(line) for line in lines] if lines else json.loads(body)
    parts: list[dict[str, JSON]] = []
    listed = chunks if isinstance(chunks, list) else [chunks]
    candidates = [candidate for chunk in listed for candidate in chunk.get("candidates", ())]
    for part in (part for each in candidates for part in each.get("content", {}).get("parts", ())):
        last = parts[-1] if parts else {}
        if part.keys() == last.keys() and part.keys() <= {"text", "thought"}:
            last["text"] = f"{last['text']}{part['text']}"
        elif part != {"text": ""}:
            parts.append(dict(part))
    return parts or [{"text": ""}]


@every_answer
@given(data=st.data())
def test_wire_answers_that_are_changed_anywhere_are_read_or_refused(recording: Recording, data: st.DataObject) -> None:
    value = _first_value(recording.body.split(b"data: ")[-1].strip().removeprefix(b"["))
    path = data.draw(st.sampled_from(list(_paths(value))))
    junk: JSON = data.draw(st.sampled_from(JUNK))
    changed = json.dumps(_changed(value, path, junk)).encode()
    try:
        response = read(replace(recording, expect={}, headers={}), changed)
    except LLMError:
        return
    json.loads(
        recording.dialect.encode(LLMRequest.of("Hi").extended(response.message), recording.target(), stream=False)
    )


def _first_value(text: bytes) -> JSON:
    value: JSON = json.JSONDecoder().raw_decode(text.decode())[0]
    return value


def _paths(value: JSON, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _paths(each, (*path, key))
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from _paths(each, (*path, place))


def _changed(value: JSON, path: tuple[str | int, ...], junk: JSON) -> JSON:
    if not path:
        return junk
    step, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {key: _changed(each, rest, junk) if key == step else each for key, each in value.items()}
    assert isinstance(value, list)
    return [_changed(each, rest, junk) if place == step else each for place, each in enumerate(value)]


def _part(wire: JSON) -> set[str]:
    part = wire.get("part") if isinstance(wire, Mapping) else None
    return set(part) if isinstance(part, Mapping) else set()


def _list(value: JSON) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
