"""Every recorded answer with vectors or ranks is read as its `expect` says, and every request is encoded as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, LLMValidationError
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, RerankResponse
from loomwire.infrastructure.providers.vectors.factory import EmbeddingFactory, embed_dialect, rerank_dialect
from loomwire.infrastructure.recordings.book import Book
from loomwire.infrastructure.recordings.exchange import Asked
from loomwire.infrastructure.recordings.folder import Stored
from loomwire.infrastructure.recordings.form import from_bytes
from loomwire.infrastructure.recordings.replay import ReplayPool
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.rebuilding_vectors import (
    EMBED_APIS,
    RERANK_APIS,
    check_embedded,
    check_ranked,
    place_of,
    rebuilt_embed,
    rebuilt_rerank,
    row_of,
    sent,
    target,
)
from support.wire_playback import Recording, check_error, parameters, recordings, wire_folder
from support.wire_requests import check_body
from support.wire_server import Exchange, WireServer

REFUSED = "openai-embeddings-error-400-89472c"
"""Asks for -1 dimensions: what OpenAI refuses is refused before it is sent."""

EXCEPTIONS: Mapping[str, str] = {
    "input": "one text is sent as a list of one",
    "input.*": "we send texts, not the numbers of tokens",
    "model": "Azure's deployment is the model; what the body says is not looked at",
    "-encoding_format": "old vLLM puts doubles into base64, so it is asked for numbers",
    "+embedding_types": "always said to Cohere, so that the answer has the form that is read",
    "+truncate": "Cohere and Ollama would silently cut what is too long; we ask for an error",
    "truncation": "the same of Voyage's ranks",
    "-max_tokens": "null is not sent",
    "-output_dimension": "null is not sent",
    "-output_dtype": "null is not sent",
    "-max_tokens_per_doc": "null is not sent",
}


def playable(recording: Recording) -> EmbedRequest:
    """Return a request of as many texts as the recording's."""
    return EmbedRequest.of("x") if recording.name == REFUSED else rebuilt_embed(recording)


async def asked(
    recording: Recording, config: LLMConfig, pool: IConnectionPool
) -> EmbedResponse | RerankResponse | LLMError:
    """Ask once; returns the answer or the error."""
    factory = EmbeddingFactory(pool, SystemClock())
    try:
        if recording.api in RERANK_APIS:
            return await factory.reranker(config).rerank(rebuilt_rerank(recording))
        return await factory.embedder(config).embed(playable(recording))
    except LLMError as error:
        return error


def check(outcome: EmbedResponse | RerankResponse | LLMError, recording: Recording) -> None:
    """Fail unless the outcome is what the recording says."""
    if isinstance(outcome, LLMError):
        check_error(outcome, recording)
        return
    assert recording.error is None
    if isinstance(outcome, RerankResponse):
        check_ranked(outcome, recording)
    else:
        check_embedded(outcome, recording)


@pytest.mark.parametrize("recording", parameters(*EMBED_APIS, *RERANK_APIS))
async def test_wire_vectors_are_read_over_a_socket(recording: Recording) -> None:
    async def play(exchange: Exchange) -> None:
        headers = {name.title().replace("-", "_"): value for name, value in recording.headers.items()}
        await exchange.answer(recording.body, recording.status, **headers)

    pool = ConnectionPool()
    async with WireServer(play) as server:
        check(await asked(recording, target(recording, f"{server.base_url}/v1"), pool), recording)
        assert pool.get_stats().active == 0
        await pool.aclose()


@pytest.mark.parametrize("recording", parameters(*EMBED_APIS, *RERANK_APIS))
async def test_wire_vectors_are_replayed(recording: Recording) -> None:
    config = target(recording, "https://replay.example.com/v1")
    path, body = written(recording, config)
    exchange = from_bytes((wire_folder() / f"{recording.name}.json").read_bytes())
    ours = Asked("POST", f"{config.base_url}{path}", json=json.loads(body))
    book = Book(Path("wire"), [Stored(recording.name, replace(exchange, asked=ours))], repeat=True)
    check(await asked(recording, config, ReplayPool(book)), recording)
    assert book.unused() == ()


@pytest.mark.parametrize("recording", parameters(*EMBED_APIS, *RERANK_APIS))
def test_wire_requests_for_vectors_are_encoded_as_they_were_sent(recording: Recording) -> None:
    if recording.name == REFUSED:
        with pytest.raises(LLMValidationError, match="dimensions"):
            EmbedRequest.of("x", dimensions=-1)
        assert sent(recording)["dimensions"] == -1
        return
    place = place_of(recording)
    base_url = recording.url.partition("/openai/" if place.api_version else "/embed")[0]
    if place.api_version:
        base_url += "/openai"
    path, body = written(recording, target(recording, base_url, place.model, place.api_version))
    assert recording.url.endswith(path)
    check_body(recording, body, EXCEPTIONS)


def test_wire_no_exception_is_idle() -> None:
    if not recordings(*EMBED_APIS):
        pytest.skip("the recordings are absent")
    found: set[str] = set()
    for recording in recordings(*EMBED_APIS, *RERANK_APIS):
        if recording.name != REFUSED:
            place = place_of(recording)
            _, body = written(recording, target(recording, "https://x.test/openai", place.model, place.api_version))
            found |= check_body(recording, body, EXCEPTIONS)
    assert found == set(EXCEPTIONS)


def written(recording: Recording, config: LLMConfig) -> tuple[str, bytes]:
    """Return path and body of what we ask for a recording's request."""
    row = row_of(recording)
    if recording.api in RERANK_APIS:
        assert row.reranks is not None
        ranks = rerank_dialect(row.reranks)
        return ranks.path(config), ranks.encode(rebuilt_rerank(recording), config)
    assert row.embeds is not None
    dialect = embed_dialect(row.embeds)
    return dialect.path(config), dialect.encode(playable(recording), config)
