"""Embeddings as OpenAI words them, and Azure, Voyage, Mistral, vLLM, llama.cpp, OpenRouter and others with it."""

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
from loomwire.infrastructure.providers.embeddings.numbers import in_order, input_usage, read_vectors, vector
from loomwire.infrastructure.providers.openai_chat.azure import chat_path
from loomwire.infrastructure.providers.openai_chat.errors import CHAT_ERRORS
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.wire.errors import provider_error

_PATH = "/embeddings"
_AZURE = ChatQuirks(deployments=True)
_OWN = frozenset({"model", "input", "encoding_format"})


class _Row(Struct):
    embedding: list[float] | str
    index: object = None


class _Usage(Struct):
    prompt_tokens: object = None
    total_tokens: object = None


class _Body(Struct):
    data: list[_Row] | None = None
    usage: _Usage | None = None
    model: object = None


_DECODER = msgspec.json.Decoder(_Body)


@final
class OpenAIEmbeddings(ColumnDialect):
    """Speaks OpenAI's embeddings with one vendor."""

    __slots__ = ()

    @override
    def path(self, config: LLMConfig) -> str:
        return chat_path(config, _AZURE, _PATH) if self.embeds.deployments else _PATH

    @override
    def encode(self, request: EmbedRequest, config: LLMConfig) -> bytes:
        body = {"model": config.model, "input": request.texts, **options_of(request, config, self.embeds)}
        if self.embeds.base64:
            body["encoding_format"] = "base64"
        return with_extra(body, request, config, _OWN)

    @override
    def decode(self, body: bytes, request: EmbedRequest, config: LLMConfig) -> Embedded:
        read = read_vectors(body, len(request.texts), _DECODER)
        if read.data is None:
            raise self.unanswered(body, config)
        vectors = in_order([row.index for row in read.data], [vector(row.embedding) for row in read.data])
        usage = read.usage or _Usage()
        model = read.model if isinstance(read.model, str) else None
        return Embedded(vectors, input_usage(usage.prompt_tokens, usage.total_tokens), model)

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return provider_error(status, headers, body, config, CHAT_ERRORS)
