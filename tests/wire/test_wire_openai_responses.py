"""The Responses API: requests as the recorded programs wrote them, and of the answers what only this API has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LoomError
from loomwire.domain.messages import Message, Reasoning
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.speech import dialect_of, speech
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.dialect import Dialect
from support.rebuilding_openai_responses import canonical, rebuilt
from support.wire_playback import Recording, recordings
from support.wire_requests import check_body

ORIGIN = "openai_responses"
EXCEPTIONS: Mapping[str, str] = {
    "+store": "they let the server keep the conversation; we never do",
    "+include": "without it the thinking could not go back, because the server keeps nothing",
    "-include": "an empty one says nothing",
    "-stream": "false is what a request without it means",
    "-tool_choice": "auto is what a request without it means",
    "-tools.*.description": "null says nothing",
    "+tools.*.strict": "without it OpenAI is strict and changes the schema; ours is not asked to be strict",
    "-tools.*.parameters.properties.query.default": "the strict mode takes no default, which demands nothing",
    "+input.*.content.*.detail": "auto is what a picture without it means, and vLLM wants the field",
}
ALL = recordings("responses")
SENT = [each for each in ALL if isinstance(each.request, Mapping)]
READ = [each for each in ALL if each.error is None]


def parameters(chosen: Sequence[Recording]) -> pytest.MarkDecorator:
    """Parametrize over recordings; skips, and says why, when there are none."""
    absent = pytest.param(None, id="absent", marks=pytest.mark.skip(reason="no recordings: set LOOMWIRE_WIRE_DIR"))
    return pytest.mark.parametrize("recording", [pytest.param(each, id=each.name) for each in chosen] or [absent])


needs_recordings = pytest.mark.skipif(not ALL, reason="no recordings: set LOOMWIRE_WIRE_DIR")


def spoken(config: LLMConfig) -> Dialect:
    """Return the dialect of a target."""
    return dialect_of(speech(config, PROVIDERS[config.type], DIALECTS), DIALECTS)


def differences(recording: Recording) -> set[str]:
    """Fail unless the request is written as it was sent; returns the exceptions that this needed."""
    request, config, stream = rebuilt(recording)
    sent = json.loads(spoken(config).encode(request, config, stream=stream))
    same = replace(recording, request=canonical(recording.request))
    return check_body(same, json.dumps(canonical(sent)).encode(), EXCEPTIONS)


def answered(recording: Recording) -> Answer:
    """Return the answer of a recording, read."""
    answer = Answer(recording.target())
    if recording.is_stream:
        read_stream(recording.dialect, answer, recording.body)
    else:
        recording.dialect.decode(recording.body, answer)
    return answer


def read_stream(dialect: Dialect, answer: Answer, body: bytes) -> None:
    """Read a stream that came whole."""
    framer, reader = dialect.framer(answer.config.limits), dialect.reader(answer)
    for name, data in (*framer.feed(body), *framer.flush()):
        reader.decode_event(name, data)
    reader.end()


@parameters(SENT)
def test_wire_request_is_written_as_it_was_sent(recording: Recording) -> None:
    assert differences(recording) <= EXCEPTIONS.keys()


@parameters(SENT)
def test_wire_request_goes_where_it_was_sent(recording: Recording) -> None:
    _, config, stream = rebuilt(recording)
    ours = urlsplit(f"{config.base_url}{spoken(config).path(config, stream=stream)}")
    assert ours.geturl() == recording.url


@needs_recordings
def test_wire_request_exceptions_are_all_needed() -> None:
    assert set().union(*map(differences, SENT)) == EXCEPTIONS.keys()


@parameters(READ)
def test_wire_thinking_is_kept_whole_with_its_id_and_its_signature(recording: Recording) -> None:
    wanted = recording.expect.get("reasoning_items") or ()
    assert isinstance(wanted, Sequence)
    kept = [part for part in answered(recording).result().reasoning if (part.wire or {}).get("type") == "reasoning"]
    assert len(kept) == len(wanted)
    for part, want in zip(kept, wanted, strict=True):
        assert isinstance(want, Mapping)
        assert part.wire is not None
        summary = part.wire["summary"]
        assert isinstance(summary, Sequence)
        assert (part.id, len(summary), part.signature is not None) == (
            want["id"],
            want["summary_parts"],
            want["encrypted"],
        )
        assert (part.origin, part.signature) == (ORIGIN, part.wire.get("encrypted_content"))


@parameters(READ)
def test_wire_every_item_of_an_answer_is_read_or_kept(recording: Recording) -> None:
    response = answered(recording).result()
    kinds = {str(kind) for kind in types} if isinstance(types := recording.expect["output_types"], Sequence) else set()
    kept = {str(part.wire["type"]) for part in response.reasoning if part.wire is not None}
    assert kinds - {"message", "function_call"} <= kept
    assert ("message" in kinds) >= bool(response.text)
    assert ("function_call" in kinds) == bool(response.tool_calls)


@parameters(READ)
def test_wire_an_answer_goes_back_item_by_item_as_it_came(recording: Recording) -> None:
    response = answered(recording).result()
    body = recording.dialect.encode(
        LLMRequest((Message.user("Hi"), response.message)), replace(recording.target(), model="o4"), stream=False
    )
    sent = json.loads(body)["input"][1:]
    items = output_of(recording)
    encrypted = recording.row != "vllm"
    back = [item for item in items if item["type"] != "reasoning" or bool(item.get("encrypted_content")) == encrypted]
    assert [item.get("type", "message") for item in sent] == [item["type"] for item in back]
    thoughts = [item for item in sent if item.get("type") == "reasoning"]
    whole = [part.wire for part in response.reasoning if (part.wire or {}).get("type") == "reasoning"]
    assert thoughts == [wire for wire in whole if wire and bool(wire.get("encrypted_content")) == encrypted]


def output_of(recording: Recording) -> list[dict[str, JSON]]:
    """Return the items of the whole answer that a recording ends with."""
    text = recording.body.decode()
    if recording.is_stream:
        text = text.rstrip().rpartition("data: ")[2]
    whole = json.loads(text)
    output: list[dict[str, JSON]] = whole.get("response", whole)["output"]
    return output


def test_wire_a_plain_thought_of_another_vendor_stays_at_home() -> None:
    config = LLMConfig(type="openai", model="o4", dialect=ORIGIN)
    theirs = [
        Reasoning("Hm.", signature="s", origin="anthropic"),
        Reasoning("Hm."),
        Reasoning("Hm.", wire={"type": "reasoning.encrypted", "data": "x"}, origin="openai_chat"),
        Reasoning("Hm.", wire={"type": "reasoning", "summary": [], "encrypted_content": "x"}, origin="gemini"),
    ]
    said = Message.assistant("Hi", reasoning=theirs)
    body = json.loads(spoken(config).encode(LLMRequest((said,)), config, stream=False))
    assert body["input"] == [{"role": "assistant", "content": "Hi"}]


WRONG: st.SearchStrategy[JSON] = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.floats(allow_nan=False), st.text(max_size=3), st.just([]),
    st.just({}), st.just([None]), st.just({"type": 5}), st.just([{"type": "output_text", "text": 1}]),
)  # fmt: skip


@needs_recordings
@given(st.data())
def test_wire_no_change_of_any_value_gives_an_untyped_error(data: st.DataObject) -> None:
    recording = data.draw(st.sampled_from([each for each in ALL if len(each.body) < 60_000]))
    wrong = data.draw(WRONG)
    answer = Answer(recording.target())
    try:
        if recording.is_stream:
            events = recording.body.split(b"\n\n")
            at = data.draw(st.integers(0, len(events) - 1))
            head, mark, text = events[at].partition(b"data: ")
            if text.startswith(b"{"):
                changed = json.dumps(spoiled(json.loads(text), data, wrong)).encode()
                events[at] = head + mark + changed
            read_stream(recording.dialect, answer, b"\n\n".join(events))
        else:
            changed = json.dumps(spoiled(json.loads(recording.body), data, wrong)).encode()
            recording.dialect.decode(changed, answer)
    except LoomError:
        return
    response = answer.result()
    body = recording.dialect.encode(LLMRequest((response.message,)), answer.config, stream=False)
    assert json.loads(body)["input"] is not None


def spoiled(value: JSON, data: st.DataObject, wrong: JSON) -> JSON:
    """Return a JSON value with one value somewhere in it replaced."""
    if isinstance(value, Mapping) and value and data.draw(st.integers(0, 9)):
        key = data.draw(st.sampled_from(sorted(value)))
        return {**value, key: spoiled(value[key], data, wrong)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 9)):
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], spoiled(value[at], data, wrong), *value[at + 1 :]]
    return wrong
