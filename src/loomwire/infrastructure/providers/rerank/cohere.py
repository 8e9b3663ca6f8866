"""Ranks as Cohere's v2 API words them, and llama.cpp, vLLM and OpenRouter with it (TRAPS 57)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.infrastructure.providers.cohere.errors import COHERE_ERRORS
from loomwire.infrastructure.providers.rerank.relevance import RelevanceRanks
from loomwire.infrastructure.providers.wire.errors import provider_error


@final
class CohereRerank(RelevanceRanks):
    """Speaks Cohere's ranks."""

    __slots__ = ()

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        if config.type != "cohere":
            return super().error_for(status, headers, body, config)
        return provider_error(status, headers, body, config, COHERE_ERRORS)
