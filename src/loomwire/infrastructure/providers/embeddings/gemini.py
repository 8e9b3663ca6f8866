"""Embeddings as the Gemini API words them: `batchEmbedContents`."""

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
from loomwire.infrastructure.providers.gemini.errors import gemini_error
from loomwire.infrastructure.providers.gemini.gemini import model_path

_OWN = frozenset({"requests"})


class _Values(Struct):
    values: list[float]


class _Usage(Struct):
    prompt_token_count: object = msgspec.field(default=None, name="promptTokenCount")


class _Body(Struct):
    embeddings: list[_Values] | None = None
    embedding: _Values | None = None
    usage: _Usage | None = msgspec.field(default=None, name="usageMetadata")


_DECODER = msgspec.json.Decoder(_Body)


@final
class GeminiEmbeddings(ColumnDialect):
    """Speaks the Gemini API's embeddings."""

    __slots__ = ()

    @override
    def path(self, config: LLMConfig) -> str:
        """Return path and query; raises ConfigError for a model's name that would lead elsewhere."""
        return f"/{model_path(config, 'models')}:batchEmbedContents"

    @override
    def encode(self, request: EmbedRequest, config: LLMConfig) -> bytes:
        name = config.model if "/" in config.model else f"models/{config.model}"
        options = options_of(request, config, self.embeds)
        asked = [{"model": name, "content": {"parts": [{"text": text}]}, **options} for text in request.texts]
        return with_extra({"requests": asked}, request, config, _OWN)

    @override
    def decode(self, body: bytes, request: EmbedRequest, config: LLMConfig) -> Embedded:
        read = read_vectors(body, len(request.texts), _DECODER)
        rows = [read.embedding] if read.embeddings is None and read.embedding is not None else read.embeddings
        if rows is None:
            raise self.unanswered(body, config)
        # The usage is often absent (TRAPS 56).
        tokens = None if read.usage is None else read.usage.prompt_token_count
        return Embedded([vector(row.values) for row in rows], input_usage(tokens))

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return gemini_error(status, headers, body, config)
