"""Requests for embeddings and ranks that another program sent, rebuilt as ours; and what their answers must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.values import JSON, FrozenDict, JSONObject, Secret
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, Purpose, RerankRequest, RerankResponse
from loomwire.infrastructure.providers.rows.kinds import ProviderType
from loomwire.infrastructure.providers.table import PROVIDERS
from support.wire_playback import Recording

EMBED_APIS = ("embeddings", "embed_v2", "ollama_embed")
RERANK_APIS = ("rerank", "rerank_v2")
PURPOSES: Mapping[JSON, Purpose] = {
    **dict.fromkeys(("query", "search_query", "RETRIEVAL_QUERY"), "query"),
    **dict.fromkeys(("document", "search_document", "RETRIEVAL_DOCUMENT"), "document"),
}
EMBED_FIELDS = {
    *("model", "input", "texts", "requests", "encoding_format", "dimensions", "output_dimension", "input_type"),
    *("embedding_types", "truncate", "truncation"),
}
RERANK_FIELDS = {"model", "query", "documents", "top_n", "top_k", "truncation"}


@dataclass(frozen=True)
class Place:
    """Where a recording was asked.

    Attributes:
        model: The model or deployment.
        api_version: As the query says.
    """

    model: str
    api_version: str | None


def row_of(recording: Recording) -> ProviderType:
    """Return the vendor's row, which is there for every recording of these APIs."""
    return PROVIDERS[recording.provider]


def target(recording: Recording, base_url: str, model: str = "asked-for", version: str | None = None) -> LLMConfig:
    """Return a target that plays a recording."""
    return LLMConfig(
        type=recording.provider,
        model=model,
        base_url=base_url,
        api_version=version,
        keys=(Secret("playback-key"),),
        allow_private=True,
    )


def sent(recording: Recording) -> JSONObject:
    """Return the recorded JSON."""
    assert isinstance(recording.request, Mapping)
    return recording.request


def place_of(recording: Recording) -> Place:
    """Return what the recorded address and body name."""
    url = urlsplit(recording.url)
    found = parse_qs(url.query).get("api-version")
    version = found[0] if found else None
    steps = url.path.split("/")
    if "deployments" in steps:
        return Place(unquote(steps[steps.index("deployments") + 1]), version)
    named = sent(recording).get("model")
    return Place(str(named) if named else steps[-1].partition(":")[0], version)


def rebuilt_embed(recording: Recording) -> EmbedRequest:
    """Return the request that a recording's program would have made of us."""
    body = sent(recording)
    rows = body.get("requests")
    first: JSON = rows[0] if isinstance(rows, list) else body
    assert isinstance(first, Mapping)
    size = first.get("dimensions") or first.get("output_dimension") or first.get("outputDimensionality")
    kind = first.get("input_type") or first.get("taskType")
    extra = {name: value for name, value in body.items() if name not in EMBED_FIELDS and value is not None}
    return EmbedRequest(
        _texts(body),
        PURPOSES[kind] if kind else None,
        size if isinstance(size, int) else None,
        extra=FrozenDict(extra),
    )


def rebuilt_rerank(recording: Recording) -> RerankRequest:
    """Return the request that a recording's program would have made of us."""
    body = sent(recording)
    documents = body["documents"]
    assert isinstance(documents, Sequence)
    size = body.get("top_n") or body.get("top_k")
    extra = {name: value for name, value in body.items() if name not in RERANK_FIELDS and value is not None}
    return RerankRequest(
        str(body["query"]), tuple(map(str, documents)), size if isinstance(size, int) else None, extra=FrozenDict(extra)
    )


def check_embedded(answer: EmbedResponse, recording: Recording) -> None:
    """Fail unless an answer is what the recording says."""
    expect = recording.expect
    wanted = expect["embeddings"]
    assert isinstance(wanted, Mapping)
    assert len(answer.vectors) == wanted["count"]
    vectors = wanted["vectors"]
    assert isinstance(vectors, Sequence)
    for want, got in zip(vectors, answer.vectors, strict=False):
        assert isinstance(want, Mapping)
        assert len(got) == want["dims"]
        assert list(got[:3]) == pytest.approx(want["first"], rel=1e-5, abs=1e-8)
    assert answer.model == expect.get("model", "asked-for")
    usage = expect.get("usage")
    assert answer.usage.known == isinstance(usage, Mapping)
    if isinstance(usage, Mapping):
        assert answer.usage.input_tokens == usage["input_tokens"]
        assert answer.usage.output_tokens == 0
        assert not answer.usage.estimated


def check_ranked(answer: RerankResponse, recording: Recording) -> None:
    """Fail unless an answer is what the recording says."""
    wanted = recording.expect["rerank"]
    assert [{"index": rank.index, "score": rank.score} for rank in answer.results] == wanted
    usage = recording.expect["usage_wire"]
    assert isinstance(usage, Mapping)
    assert answer.usage.input_tokens == usage.get("total_tokens", 0)
    assert answer.usage.known == ("total_tokens" in usage)


def found(value: JSON, *way: str | int) -> JSON:
    """Return what stands inside JSON at the end of a way of names and places."""
    for step in way:
        if isinstance(step, str):
            assert isinstance(value, Mapping)
            value = value[step]
        else:
            assert isinstance(value, Sequence)
            value = value[step]
    return value


def _texts(body: JSONObject) -> tuple[str, ...]:
    rows = body.get("requests")
    if isinstance(rows, list):
        return tuple(str(found(row, "content", "parts", 0, "text")) for row in rows)
    given = body.get("input", body.get("texts"))
    texts = [given] if isinstance(given, str) else given
    assert isinstance(texts, Sequence)
    return tuple(map(str, texts))
