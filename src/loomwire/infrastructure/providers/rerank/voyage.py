"""Ranks as Voyage words them (TRAPS 57)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import msgspec
from msgspec import Struct
from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.vectors.embeddings import Ranked, RerankRequest
from loomwire.infrastructure.providers.embeddings.numbers import input_usage
from loomwire.infrastructure.providers.openai_chat.errors import CHAT_ERRORS
from loomwire.infrastructure.providers.rerank.dialect import NO_HEADERS, RerankDialect, Reranked
from loomwire.infrastructure.providers.wire.errors import provider_error
from loomwire.infrastructure.providers.wire.json_bytes import read_json
from loomwire.infrastructure.providers.wire.request_body import Body, add_extra, encoded

_OWN = frozenset({"model", "query", "documents", "top_k"})


class _Row(Struct):
    index: int
    relevance_score: float


class _Usage(Struct):
    total_tokens: object = None


class _Body(Struct):
    data: list[_Row] | None = None
    usage: _Usage | None = None
    model: object = None


_DECODER = msgspec.json.Decoder(_Body)


@final
class VoyageRerank(RerankDialect):
    """Speaks Voyage's ranks. A document that is too long is an error, where Voyage would silently cut it."""

    __slots__ = ()

    @override
    def path(self, config: LLMConfig) -> str:
        return "/rerank"

    @override
    def encode(self, request: RerankRequest, config: LLMConfig) -> bytes:
        body: Body = {
            "model": config.model,
            "query": request.query,
            "documents": request.documents,
            "truncation": False,
        }
        if request.top_n is not None:
            body["top_k"] = request.top_n
        add_extra(body, (config.extra, request.extra), _OWN)
        return encoded(body)

    @override
    def decode(self, body: bytes, config: LLMConfig) -> Reranked:
        read = read_json(body, _DECODER)
        if read.data is None:
            raise self.error_for(200, NO_HEADERS, body, config)
        ranks = [Ranked(row.index, row.relevance_score) for row in read.data]
        model = read.model if isinstance(read.model, str) else None
        return Reranked(ranks, input_usage(None if read.usage is None else read.usage.total_tokens), model)

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return provider_error(status, headers, body, config, CHAT_ERRORS)
