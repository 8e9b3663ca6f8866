"""Embeddings as Cohere's v2 API words them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import msgspec
from msgspec import Struct
from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.vectors.embeddings import EmbedRequest
from loomwire.infrastructure.providers.cohere.errors import COHERE_ERRORS
from loomwire.infrastructure.providers.embeddings.dialect import ColumnDialect, Embedded, options_of, with_extra
from loomwire.infrastructure.providers.embeddings.numbers import input_usage, read_vectors, vector
from loomwire.infrastructure.providers.wire.errors import provider_error

_OWN = frozenset({"model", "texts", "embedding_types"})


class _Vectors(Struct):
    # Keys are the types that were asked for; its old wording has the list alone.
    floats: list[list[float]] = msgspec.field(name="float")


class _Units(Struct):
    input_tokens: object = None


class _Meta(Struct):
    billed_units: _Units | None = None


class _Body(Struct):
    embeddings: _Vectors | list[list[float]] | None = None
    meta: _Meta | None = None


_DECODER = msgspec.json.Decoder(_Body)


@final
class CohereEmbeddings(ColumnDialect):
    """Speaks Cohere's embeddings."""

    __slots__ = ()

    @override
    def path(self, config: LLMConfig) -> str:
        return "/embed"

    @override
    def encode(self, request: EmbedRequest, config: LLMConfig) -> bytes:
        # It refuses a request that does not say what the texts are for.
        body = {
            "model": config.model,
            "texts": request.texts,
            "embedding_types": ["float"],
            "input_type": "search_document",
            **options_of(request, config, self.embeds),
        }
        return with_extra(body, request, config, _OWN)

    @override
    def decode(self, body: bytes, request: EmbedRequest, config: LLMConfig) -> Embedded:
        read = read_vectors(body, len(request.texts), _DECODER)
        if read.embeddings is None:
            raise self.unanswered(body, config)
        rows = read.embeddings if isinstance(read.embeddings, list) else read.embeddings.floats
        units = None if read.meta is None or read.meta.billed_units is None else read.meta.billed_units.input_tokens
        return Embedded([vector(row) for row in rows], input_usage(units))

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return provider_error(status, headers, body, config, COHERE_ERRORS)
