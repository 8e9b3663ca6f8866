"""The recorded exchanges of the folder named by LOOMWIRE_WIRE_DIR, and what an adapter must read out of them."""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, StreamInterruptedError
from loomwire.domain.events import (
    Finished,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON, JSONObject, Secret
from loomwire.infrastructure.providers.speech import dialect_of, speech
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.infrastructure.providers.wire.dialect import Dialect

REPOSITORY = Path(__file__).resolve().parents[2]
REASONS = {
    "context_length": "context_length",
    "quota": "quota_exhausted",
    "rate_limit": "throttled",
    "content_filter": "content_filter",
}
APIS = {
    "chat_completions": "openai_chat",
    "responses": "openai_responses",
    "messages": "anthropic",
    "generate_content": "gemini",
    "chat_v2": "cohere",
    "ollama_chat": "ollama",
    "converse": "bedrock",
    "converse_stream": "bedrock",
}
"""The dialect that reads each API."""

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


@dataclass(frozen=True)
class Recording:
    """One recorded exchange.

    Attributes:
        name: The file's name without its ending.
        provider: Who answered.
        api: Over which API.
        url: What was asked.
        request: The JSON that was sent, or None.
        status: The HTTP status.
        headers: Response headers, names in lower case.
        body: The response's bytes.
        expect: What an adapter must read.
    """

    name: str
    provider: str
    api: str
    url: str
    request: JSON = field(repr=False)
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    expect: JSONObject = field(repr=False)

    @property
    def is_stream(self) -> bool:
        """Whether the answer was streamed."""
        return "stream" in self.expect or self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def row(self) -> str:
        """The provider type that reads it: the vendor's own if it speaks the dialect, else `custom`."""
        own = PROVIDERS.get(self.provider.replace("-", "_"))
        spoken = (own.dialect, *(also.dialect for also in own.also)) if own else ()
        return own.name if own and APIS[self.api] in spoken else "custom"

    @property
    def dialect(self) -> Dialect:
        """The dialect of its API, with the vendor's quirks."""
        return dialect_of(speech(self.target(), PROVIDERS[self.row], DIALECTS), DIALECTS)

    @property
    def error(self) -> JSONObject | None:
        """What the error must be, if there must be one."""
        error = self.expect.get("error")
        return error if isinstance(error, Mapping) else None

    def target(self, base_url: str = "http://127.0.0.1:1") -> LLMConfig:
        """Return the configuration of a target that plays it."""
        return LLMConfig(
            type=self.row,
            model="asked-for",
            name=self.provider,
            base_url=base_url,
            dialect=APIS[self.api],
            keys=(Secret("playback-key"),),
            allow_private=True,
        )

    def cut(self, seed: int | None) -> Iterator[bytes]:
        """Yield the body byte by byte, or in random pieces that may end inside characters."""
        if seed is None:
            yield from (self.body[at : at + 1] for at in range(len(self.body)))
            return
        chance = random.Random(f"{self.name}/{seed}")
        at = 0
        while at < len(self.body):
            size = chance.choice((1, 2, 3, 7, 40, 300, 2000))
            yield self.body[at : at + size]
            at += size


def recordings(*apis: str) -> list[Recording]:
    """Return every recording of some APIs, in name order; nothing when the folder is absent."""
    folder = wire_folder()
    read = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json")))
    return [_recording(entry) for entry in read if entry.get("api") in apis]


def spoken_apis() -> list[str]:
    """Return the APIs whose dialect there is."""
    return [api for api, dialect in APIS.items() if dialect in DIALECTS]


def wire_folder() -> Path:
    """Return where the recordings should be; it need not exist."""
    named = Path(os.environ.get("LOOMWIRE_WIRE_DIR", "../shared/wire"))
    return named if named.is_absolute() else REPOSITORY / named


def parameters(*apis: str) -> Sequence[object]:
    """Return the recordings as pytest parameters; one that skips and says why when there are none."""
    found = recordings(*apis)
    if found:
        return [pytest.param(recording, id=recording.name) for recording in found]
    why = (
        f"no {', '.join(apis)} recordings in {wire_folder().name}/: set LOOMWIRE_WIRE_DIR to the folder that holds them"
    )
    return [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=why))]


def check_response(response: LLMResponse[str], recording: Recording) -> None:
    """Fail unless the response is what the recording says."""
    expect = recording.expect
    assert response.text == expect.get("text", "")
    assert "".join(thought.text for thought in response.reasoning) == expect.get("reasoning", "")
    assert response.refusal == expect.get("refusal")
    assert response.finish == expect.get("finish_reason")
    if "finish_reason_wire" in expect:
        # As a word also where it came as a number (TRAPS 21).
        assert response.finish_wire == str(expect["finish_reason_wire"])
    assert response.model == expect.get("model", "asked-for")
    assert response.response_id == expect.get("response_id")
    assert response.complete
    check_calls(response, recording)
    check_usage(response, recording)


def check_calls(response: LLMResponse[str], recording: Recording) -> None:
    """Fail unless the tool calls are those of the recording; made-up ids must tell them apart."""
    wanted = recording.expect.get("tool_calls") or ()
    assert isinstance(wanted, Sequence)
    assert len(response.tool_calls) == len(wanted)
    for call, want in zip(response.tool_calls, wanted, strict=True):
        assert isinstance(want, Mapping)
        assert call.name == want["name"]
        assert want["id"] in (call.id, None)
        arguments = want.get("arguments")
        if isinstance(arguments, Mapping) and "__raw__" in arguments:
            assert (call.arguments, call.raw_arguments) == (None, arguments["__raw__"])
        elif arguments is not None:
            assert call.arguments == arguments
    ids = [call.id for call in response.tool_calls]
    assert len(set(ids)) == len(ids)
    assert all(ids)


def check_usage(response: LLMResponse[str], recording: Recording) -> None:
    """Fail unless every number of the recording's usage is there."""
    wanted = recording.expect.get("usage")
    assert response.usage.known == isinstance(wanted, Mapping)
    assert not response.usage.estimated
    if isinstance(wanted, Mapping):
        read = response.usage.to_dict()
        assert {name: read[name] for name in TOKENS if name in wanted} == {
            name: wanted[name] for name in TOKENS if name in wanted
        }
        assert response.usage.reported_total == wanted.get("total_tokens")


def check_events(events: Sequence[StreamEvent], response: LLMResponse[str]) -> None:
    """Fail unless the events tell the same as the response, in a sensible order."""
    assert isinstance(events[-1], Finished)
    assert sum(isinstance(event, Finished) for event in events) == 1
    assert events[-1].finish == response.finish
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == response.text
    thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    assert thought == "".join(item.text for item in response.reasoning)
    started = [(event.index, event.id, event.name) for event in events if isinstance(event, ToolCallStart)]
    assert started == [(index, call.id, call.name) for index, call in enumerate(response.tool_calls)]
    assert [event.call for event in events if isinstance(event, ToolCallEnd)] == list(response.tool_calls)
    for index, call in enumerate(response.tool_calls):
        pieces = [event.arguments for event in events if isinstance(event, ToolCallDelta) and event.index == index]
        raw = "".join(pieces) or "{}"
        if call.arguments is not None:
            assert json.loads(raw) in (call.arguments, None)


def check_error(error: LLMError, recording: Recording) -> None:
    """Fail unless the error is what the recording says."""
    want = recording.error
    assert want is not None
    acceptable = want["acceptable"]
    assert isinstance(acceptable, Sequence)
    assert error.category.value in acceptable
    assert error.retryable == want["retryable"]
    # Nothing is sent again once something was delivered.
    assert error.disposition.retry_same == (want["retryable"] and not isinstance(error, StreamInterruptedError))
    assert error.retry_after == pytest.approx(want.get("retry_after"))
    assert error.status == want.get("status", error.status)
    assert error.provider == recording.provider
    assert error.model in ("asked-for", recording.expect.get("model"))
    code = want.get("provider_code")
    if code is not None:
        assert error.provider_code == str(code)
    subtype = want.get("subtype")
    if isinstance(subtype, str) and not _is_pace(want):
        assert error.reason == REASONS[subtype]


def check_interruption(error: LLMError, events: Sequence[StreamEvent], recording: Recording) -> None:
    """Fail unless an error inside a stream carries what came before it, and is the plain error when nothing came."""
    thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    assert thought == recording.expect.get("reasoning", "")
    assert isinstance(error, StreamInterruptedError) == bool(events)
    if isinstance(error, StreamInterruptedError):
        assert error.partial_text == recording.expect.get("text", "")
        assert error.metadata["cause"] == error.reason


def _is_pace(want: JSONObject) -> bool:
    # 429 for a request that is too large as such is called a rate limit, though nobody may send it again.
    if want.get("subtype") == "quota":
        # Google calls the tokens of a minute a quota, too (gemini-...-error-quota-030ec8).
        return bool(want["retryable"])
    return want.get("subtype") == "rate_limit" and not want["retryable"]


def _recording(entry: Mapping[str, JSON]) -> Recording:
    response = entry["response"]
    assert isinstance(response, Mapping)
    headers, body, encoded = response["headers"], response.get("body"), response.get("body_base64")
    expect, status = entry["expect"], response["status"]
    assert isinstance(headers, Mapping)
    assert isinstance(expect, Mapping)
    assert isinstance(status, int)
    request = entry["request"]
    assert isinstance(request, Mapping)
    return Recording(
        str(entry["id"]),
        str(entry["provider"]),
        str(entry["api"]),
        str(request["url"]),
        request.get("json"),
        status,
        {name.lower(): str(value) for name, value in headers.items()},
        body.encode() if isinstance(body, str) else base64.b64decode(str(encoded)),
        expect,
    )
