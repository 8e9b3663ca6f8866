"""Every recorded count of tokens is read as its `expect` says, and every request is encoded as it was sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from loomwire.domain.counting.counts import TokenCount
from loomwire.domain.errors import LLMError
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.infrastructure.providers.counting.columns import COUNTS
from loomwire.infrastructure.providers.counting.dialect import CountDialect
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.speech import dialect_of, speech
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.infrastructure.recordings.book import Book
from loomwire.infrastructure.recordings.exchange import Asked
from loomwire.infrastructure.recordings.folder import Stored
from loomwire.infrastructure.recordings.form import from_bytes
from loomwire.infrastructure.recordings.replay import Cutting, ReplayPool
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from support import rebuilding_anthropic, rebuilding_gemini
from support.rebuilding_counts import COUNT_APIS, rebuilt, spelled_out
from support.wire_playback import Recording, check_error, parameters, recordings, wire_folder
from support.wire_requests import differences
from support.wire_server import Exchange, WireServer

EXCEPTIONS: Mapping[str, str] = {
    "-messages.*.content.*.cache_control.ttl": "5m is the vendor's default, and we have no other",
    "-contents": "the Gemini API takes the whole request, too, so that instructions, tools and schema are counted",
    "+generateContentRequest": "the same",
    "generateContentRequest.generationConfig.responseSchema.type": "OpenAPI's types in capitals, as the vendor's page",
    "generateContentRequest.generationConfig.responseSchema.properties.title.type": "the same",
    "generateContentRequest.generationConfig.responseSchema.properties.author.type": "the same",
}
BASE = "https://replay.example.com/v1"
every_recording = pytest.mark.parametrize("recording", parameters(*COUNT_APIS))


def written(recording: Recording) -> tuple[str, bytes]:
    """Return path and body of what we ask for a recording's request."""
    request, config = rebuilt(recording, BASE)
    dialect = dialect_of(speech(config, PROVIDERS[config.type], DIALECTS), DIALECTS)
    counting = CountDialect(dialect, COUNTS[config.type][0])
    return counting.path(config), counting.encode(request, config)


async def asked(recording: Recording, base_url: str, pool: IConnectionPool) -> TokenCount | LLMError:
    """Ask once; returns the count or the error."""
    request, config = rebuilt(recording, base_url)
    counter = ClientFactory(pool, SystemClock()).counter(config)
    try:
        return await counter.count(request)
    except LLMError as error:
        # The path names the model, so that it is the recorded one that is asked for.
        error.model = "asked-for" if error.model == config.model else error.model
        return error


def check(outcome: TokenCount | LLMError, recording: Recording) -> None:
    """Fail unless the outcome is what the recording says."""
    if isinstance(outcome, LLMError):
        check_error(outcome, recording)
        return
    assert recording.error is None
    assert outcome.input_tokens == recording.expect["input_tokens"]
    assert (outcome.provider, outcome.usage.total_tokens) == (recording.provider, 0)
    assert outcome.request_id == recording.headers.get("request-id")


@every_recording
async def test_wire_counts_are_read_over_a_socket(recording: Recording) -> None:
    async def play(exchange: Exchange) -> None:
        headers = {name.title().replace("-", "_"): value for name, value in recording.headers.items()}
        await exchange.answer(recording.body, recording.status, **headers)

    pool = ConnectionPool()
    async with WireServer(play) as server:
        check(await asked(recording, f"{server.base_url}/v1", pool), recording)
        assert pool.get_stats().active == 0
        await pool.aclose()


@pytest.mark.parametrize("cutting", [Cutting(), Cutting(1), Cutting(40, seed=7)], ids=["whole", "bytes", "cuts"])
@every_recording
async def test_wire_counts_are_replayed_in_whatever_pieces(recording: Recording, cutting: Cutting) -> None:
    path, body = written(recording)
    exchange = from_bytes((wire_folder() / f"{recording.name}.json").read_bytes())
    ours = Asked("POST", f"{BASE}{path}", json=json.loads(body))
    book = Book(Path("wire"), [Stored(recording.name, replace(exchange, asked=ours))], repeat=True)
    check(await asked(recording, BASE, ReplayPool(book, cutting=cutting)), recording)
    assert book.unused() == ()


@every_recording
def test_wire_requests_for_counts_are_encoded_as_they_were_sent(recording: Recording) -> None:
    path, _ = written(recording)
    assert recording.url.partition("?")[0].endswith(path)
    assert differing(recording) <= EXCEPTIONS.keys()


def test_wire_no_exception_of_counts_is_idle() -> None:
    found = [differing(recording) for recording in recordings(*COUNT_APIS)]
    if not found:
        pytest.skip("the recordings are absent")
    assert set().union(*found) == set(EXCEPTIONS)


def differing(recording: Recording) -> set[str]:
    """Return where what we write differs from what was sent."""
    ours = json.loads(written(recording)[1])
    is_gemini = PROVIDERS[recording.provider].dialect == "gemini"
    ours = rebuilding_gemini.canonical(ours) if is_gemini else rebuilding_anthropic.spelled_out(ours)
    return set(differences(spelled_out(recording), ours))
