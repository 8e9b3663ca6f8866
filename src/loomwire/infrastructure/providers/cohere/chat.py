"""The Cohere dialect: chat v2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.requests import LLMRequest
from loomwire.infrastructure.providers.cohere.decode import CohereReader
from loomwire.infrastructure.providers.cohere.encode import encode_chat
from loomwire.infrastructure.providers.cohere.errors import COHERE_ERRORS
from loomwire.infrastructure.providers.cohere.quirks import CohereQuirks
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.errors import provider_error
from loomwire.infrastructure.providers.wire.tuned import TunedDialect


@final
class CohereChat(TunedDialect[CohereQuirks]):
    """Speaks chat v2 with Cohere or a server like it.

    Args:
        quirks: How the server differs from Cohere's own.
    """

    __slots__ = ()

    answer_mark = b'"finish_reason"'

    def __init__(self, quirks: CohereQuirks = CohereQuirks()) -> None:
        """Speak with these quirks."""
        super().__init__(quirks)

    @override
    def path(self, config: LLMConfig, *, stream: bool) -> str:
        return "/chat"

    @override
    def encode(self, request: LLMRequest, config: LLMConfig, *, stream: bool) -> bytes:
        return encode_chat(request, config, self._quirks, stream=stream)

    @override
    def reader(self, answer: Answer) -> CohereReader:
        return CohereReader(answer)

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return provider_error(status, headers, body, config, COHERE_ERRORS)
