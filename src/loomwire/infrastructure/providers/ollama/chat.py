"""The Ollama dialect: its own chat, streamed as lines of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.policies import WireLimits
from loomwire.domain.requests import LLMRequest
from loomwire.infrastructure.providers.ollama.decode import OllamaReader
from loomwire.infrastructure.providers.ollama.encode import encode_chat
from loomwire.infrastructure.providers.ollama.errors import OLLAMA_ERRORS
from loomwire.infrastructure.providers.ollama.framing import LineFramer
from loomwire.infrastructure.providers.ollama.quirks import OllamaQuirks
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.dialect import Framer
from loomwire.infrastructure.providers.wire.errors import provider_error
from loomwire.infrastructure.providers.wire.tuned import TunedDialect


@final
class OllamaChat(TunedDialect[OllamaQuirks]):
    """Speaks Ollama's own chat with one server.

    Args:
        quirks: How the server differs from a present Ollama.
    """

    __slots__ = ()

    stream_types: ClassVar[tuple[str, ...]] = ("application/x-ndjson", "application/json")
    answer_mark = b'"done"'

    def __init__(self, quirks: OllamaQuirks = OllamaQuirks()) -> None:
        """Speak with these quirks."""
        super().__init__(quirks)

    @override
    def framer(self, limits: WireLimits) -> Framer:
        return LineFramer(limits)

    @override
    def path(self, config: LLMConfig, *, stream: bool) -> str:
        return "/api/chat"

    @override
    def encode(self, request: LLMRequest, config: LLMConfig, *, stream: bool) -> bytes:
        return encode_chat(request, config, self._quirks, stream=stream)

    @override
    def reader(self, answer: Answer) -> OllamaReader:
        return OllamaReader(answer)

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return provider_error(status, headers, body, config, OLLAMA_ERRORS)
