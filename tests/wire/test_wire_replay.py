"""Our reader of recordings reads every file of the corpus, and a replay of each is what its `expect` says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.events import StreamEvent
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.recordings.book import Book
from loomwire.infrastructure.recordings.exchange import Asked
from loomwire.infrastructure.recordings.folder import Stored
from loomwire.infrastructure.recordings.form import from_bytes, to_bytes
from loomwire.infrastructure.recordings.matching import key_of
from loomwire.infrastructure.recordings.replay import Cutting, ReplayPool
from loomwire.infrastructure.telemetry.clock import SystemClock
from support.wire_playback import (
    Recording,
    check_error,
    check_events,
    check_interruption,
    check_response,
    parameters,
    spoken_apis,
    wire_folder,
)

HI = LLMRequest.of("Hi")
BASE = "https://replay.example.com/v1"


def files() -> Sequence[object]:
    """Return every file of the corpus as a pytest parameter; one that skips when there are none."""
    found = sorted(wire_folder().glob("*.json"))
    if found:
        return [pytest.param(path, id=path.stem) for path in found]
    why = f"no recordings in {wire_folder().name}/: set LOOMWIRE_WIRE_DIR to the folder that holds them"
    return [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=why))]


@pytest.mark.parametrize("path", files())
def test_wire_file_is_read_and_can_be_written_again(path: Path) -> None:
    data = path.read_bytes()
    whole = json.loads(data)
    exchange = from_bytes(data)
    assert (exchange.id, exchange.api, exchange.kind) == (whole["id"], whole["api"], whole["kind"])
    assert exchange.asked.json == whole["request"].get("json")
    assert exchange.answered.status == whole["response"]["status"]
    assert exchange.answered.body.decode(errors="ignore").startswith(whole["response"].get("body", ""))
    assert key_of(exchange.asked)[0] == whole["request"]["method"]
    assert from_bytes(to_bytes(exchange)) == exchange


@pytest.mark.parametrize("cutting", [Cutting(), Cutting(1), Cutting(40, seed=7)], ids=["whole", "bytes", "cuts"])
@pytest.mark.parametrize("recording", parameters(*spoken_apis()))
async def test_wire_recording_is_replayed_through_a_real_client(recording: Recording, cutting: Cutting) -> None:
    config = recording.target(BASE)
    book = Book(Path("wire"), [asked_by_us(recording, config)], repeat=True)
    pool = ReplayPool(book, cutting=cutting)
    client = ClientFactory(pool, SystemClock()).create(config)
    events: list[StreamEvent] = []
    outcome = await (streamed(client, events) if recording.is_stream else generated(client))
    assert book.unused() == ()
    if isinstance(outcome, LLMError):
        check_error(outcome, recording)
        if recording.is_stream:
            check_interruption(outcome, events, recording)
        return
    assert recording.error is None
    check_response(outcome, recording)
    if recording.is_stream:
        check_events(events, outcome)


def asked_by_us(recording: Recording, config: LLMConfig) -> Stored:
    """Return a recording as the answer to what our own client asks; its words are another program's."""
    dialect = recording.dialect
    body = json.loads(dialect.encode(HI, config, stream=recording.is_stream))
    path = dialect.path(config, stream=recording.is_stream)
    exchange = from_bytes((wire_folder() / f"{recording.name}.json").read_bytes())
    return Stored(recording.name, replace(exchange, asked=Asked("POST", f"{BASE}{path}", json=body)))


async def generated(client: ILLMClient) -> LLMResponse[str] | LLMError:
    """Ask once; returns the answer or the error."""
    try:
        return await client.generate(HI)
    except LLMError as error:
        return error


async def streamed(client: ILLMClient, events: list[StreamEvent]) -> LLMResponse[str] | LLMError:
    """Stream once into `events`; returns the answer or the error."""
    try:
        async with client.stream(HI) as stream:
            async for event in stream:
                events.append(event)  # noqa: PERF401 - what came before an error counts
            return stream.response
    except LLMError as error:
        return error
