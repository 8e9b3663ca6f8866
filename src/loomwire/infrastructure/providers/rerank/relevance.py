"""Ranks as everybody words them after Cohere: a score of relevance for each document's index (TRAPS 57)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import msgspec
from msgspec import Struct
from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.values import NO_JSON, JSONObject
from loomwire.domain.vectors.embeddings import Ranked, RerankRequest
from loomwire.infrastructure.providers.embeddings.numbers import input_usage
from loomwire.infrastructure.providers.openai_chat.errors import CHAT_ERRORS
from loomwire.infrastructure.providers.rerank.dialect import RerankDialect, Reranked
from loomwire.infrastructure.providers.wire.errors import provider_error
from loomwire.infrastructure.providers.wire.json_bytes import read_json
from loomwire.infrastructure.providers.wire.request_body import Body, add_extra, encoded


class _Row(Struct):
    index: int
    relevance_score: float


class _Usage(Struct):
    prompt_tokens: object = None
    total_tokens: object = None


class _Body(Struct):
    results: list[_Row] | None = None
    data: list[_Row] | None = None
    # Cohere bills searches and tells no tokens.
    usage: _Usage | None = None
    model: object = None


_DECODER = msgspec.json.Decoder(_Body)


class RelevanceRanks(RerankDialect):
    """Speaks ranks with one vendor, who differs in words only.

    Attributes:
        top: The request's field for how many are wanted.
        always: What every request says besides.
        answered: The answer's field with the ranks.
    """

    __slots__ = ()

    top: ClassVar[str] = "top_n"
    always: ClassVar[JSONObject] = NO_JSON
    answered: ClassVar[Literal["data", "results"]] = "results"

    @override
    def path(self, config: LLMConfig) -> str:
        return "/rerank"

    @override
    def encode(self, request: RerankRequest, config: LLMConfig) -> bytes:
        own: Body = {"model": config.model, "query": request.query, "documents": request.documents}
        body: Body = {**own, **self.always}
        if request.top_n is not None:
            body[self.top] = request.top_n
        add_extra(body, (config.extra, request.extra), {*own, self.top})
        return encoded(body)

    @override
    def decode(self, body: bytes, request: RerankRequest, config: LLMConfig) -> Reranked:
        read = read_json(body, _DECODER)
        rows = read.results if self.answered == "results" else read.data
        if rows is None:
            raise self.unanswered(body, config)
        usage = read.usage or _Usage()
        model = read.model if isinstance(read.model, str) else None
        ranks = [Ranked(row.index, row.relevance_score) for row in rows]
        return Reranked(ranks, input_usage(usage.prompt_tokens, usage.total_tokens), model)

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return provider_error(status, headers, body, config, CHAT_ERRORS)
