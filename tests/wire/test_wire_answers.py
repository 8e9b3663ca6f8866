"""Every recorded answer is read as its `expect` says: over a socket, byte by byte and at random cuts."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from loomwire.domain.errors import LLMError
from loomwire.domain.events import StreamEvent
from loomwire.domain.policies import WireLimits
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.dialect import Dialect
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_playback import (
    Recording,
    check_error,
    check_events,
    check_interruption,
    check_response,
    parameters,
    spoken_apis,
)
from support.wire_server import Exchange, WireServer

every_recording = pytest.mark.parametrize("recording", parameters(*spoken_apis()))


@every_recording
async def test_wire_recording_is_read_over_a_socket(recording: Recording) -> None:
    async def play(exchange: Exchange) -> None:
        headers = {"Content_Type": recording.dialect.stream_types[0]} if recording.is_stream else {}
        headers |= {name.title().replace("-", "_"): value for name, value in recording.headers.items()}
        await exchange.answer(recording.body, recording.status, **headers)

    pool = ConnectionPool()
    async with WireServer(play) as server:
        client = ClientFactory(pool, SystemClock()).create(recording.target(f"{server.base_url}/v1"))
        events: list[StreamEvent] = []
        outcome = await (streamed(client, events) if recording.is_stream else generated(client))
        check_outcome(outcome, events, recording)
        assert pool.get_stats().active == 0
        await pool.aclose()


@every_recording
@pytest.mark.parametrize("seed", [None, 1, 2, 3], ids=["bytes", "cuts1", "cuts2", "cuts3"])
def test_wire_recording_is_read_from_pieces(recording: Recording, seed: int | None) -> None:
    events: list[StreamEvent] = []
    config = recording.target()
    answer = Answer(config)
    dialect = recording.dialect
    try:
        if recording.status >= 400:
            raise dialect.error_for(recording.status, recording.headers, recording.body, config)
        if recording.is_stream:
            read_pieces(dialect, answer, recording.cut(seed), events)
        else:
            events += dialect.decode(recording.body, answer)
    except LLMError as error:
        check_error(error, recording)
    else:
        check_outcome(answer.result(), events, recording)


async def generated(client: ILLMClient) -> LLMResponse[str] | LLMError:
    """Ask once; returns the answer or the error."""
    try:
        return await client.generate(LLMRequest.of("Hi"))
    except LLMError as error:
        return error


async def streamed(client: ILLMClient, events: list[StreamEvent]) -> LLMResponse[str] | LLMError:
    """Stream once into `events`; returns the answer or the error."""
    try:
        async with client.stream(LLMRequest.of("Hi")) as stream:
            async for event in stream:
                events.append(event)  # noqa: PERF401 - what came before an error counts
            return stream.response
    except LLMError as error:
        return error


def read_pieces(dialect: Dialect, answer: Answer, pieces: Iterable[bytes], events: list[StreamEvent]) -> None:
    """Read a stream's pieces with the dialect's pure functions."""
    framer, reader = dialect.framer(WireLimits()), dialect.reader(answer)
    framed = [event for piece in pieces for event in framer.feed(piece)]
    for name, data in (*framed, *framer.flush()):
        events += reader.decode_event(name, data)
    events += reader.end()
    assert framer.stray == b""


def check_outcome(outcome: LLMResponse[str] | LLMError, events: list[StreamEvent], recording: Recording) -> None:
    """Fail unless the outcome is what the recording says."""
    if isinstance(outcome, LLMError):
        check_error(outcome, recording)
        if recording.is_stream:
            check_interruption(outcome, events, recording)
        return
    assert recording.error is None
    check_response(outcome, recording)
    if events:
        check_events(events, outcome)
