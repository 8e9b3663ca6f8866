"""Embeddings as Ollama's native API words them: `/api/embed`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import msgspec
from msgspec import Struct
from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.vectors.embeddings import EmbedRequest
from loomwire.infrastructure.providers.embeddings.dialect import ColumnDialect, Embedded, options_of, with_extra
from loomwire.infrastructure.providers.embeddings.numbers import input_usage, read_vectors, vector
from loomwire.infrastructure.providers.ollama.errors import OLLAMA_ERRORS
from loomwire.infrastructure.providers.wire.errors import provider_error

_OWN = frozenset({"model", "input"})


class _Body(Struct):
    embeddings: list[list[float]] | None = None
    embedding: list[float] | None = None
    prompt_eval_count: object = None
    model: object = None


_DECODER = msgspec.json.Decoder(_Body)


@final
class OllamaEmbeddings(ColumnDialect):
    """Speaks Ollama's embeddings."""

    __slots__ = ()

    @override
    def path(self, config: LLMConfig) -> str:
        return "/api/embed"

    @override
    def encode(self, request: EmbedRequest, config: LLMConfig) -> bytes:
        body = {"model": config.model, "input": request.texts, **options_of(request, config, self.embeds)}
        return with_extra(body, request, config, _OWN)

    @override
    def decode(self, body: bytes, request: EmbedRequest, config: LLMConfig) -> Embedded:
        read = read_vectors(body, len(request.texts), _DECODER)
        # The old endpoint's one vector is what proxies in front of it still send (TRAPS 56).
        rows = [read.embedding] if read.embeddings is None and read.embedding is not None else read.embeddings
        if rows is None:
            raise self.unanswered(body, config)
        model = read.model if isinstance(read.model, str) else None
        return Embedded([vector(row) for row in rows], input_usage(read.prompt_eval_count), model)

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return provider_error(status, headers, body, config, OLLAMA_ERRORS)
