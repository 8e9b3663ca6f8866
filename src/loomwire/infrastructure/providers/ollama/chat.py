"""The Ollama dialect: its own chat, streamed as lines of JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.events import StreamEvent
from loomwire.domain.policies import WireLimits
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import FrozenDict
from loomwire.infrastructure.providers.ollama.decode import OllamaReader
from loomwire.infrastructure.providers.ollama.encode import encode_chat
from loomwire.infrastructure.providers.ollama.errors import OLLAMA_ERRORS
from loomwire.infrastructure.providers.ollama.framing import LineFramer
from loomwire.infrastructure.providers.ollama.quirks import OllamaQuirks
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.dialect import Dialect, EventReader, Framer
from loomwire.infrastructure.providers.wire.errors import provider_error

_NO_HEADERS: Mapping[str, str] = FrozenDict()


@final
class OllamaChat(Dialect):
    """Speaks Ollama's own chat with one server.

    Args:
        quirks: How the server differs from a present Ollama.
    """

    __slots__ = ("_quirks",)

    stream_types: ClassVar[tuple[str, ...]] = ("application/x-ndjson", "application/json")
    answer_mark = b'"done"'

    def __init__(self, quirks: OllamaQuirks = OllamaQuirks()) -> None:
        """Speak with these quirks."""
        self._quirks = quirks

    @override
    def framer(self, limits: WireLimits) -> Framer:
        return LineFramer(limits)

    @override
    def path(self, config: LLMConfig, *, stream: bool) -> str:
        return "/api/chat"

    @override
    def headers(self, config: LLMConfig) -> Mapping[str, str]:
        return _NO_HEADERS

    @override
    def encode(self, request: LLMRequest, config: LLMConfig, *, stream: bool) -> bytes:
        return encode_chat(request, config, self._quirks, stream=stream)

    @override
    def decode(self, body: bytes, answer: Answer) -> Sequence[StreamEvent]:
        return _reader(answer).decode_whole(body)

    @override
    def reader(self, answer: Answer) -> EventReader:
        return _reader(answer)

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return provider_error(status, headers, body, config, OLLAMA_ERRORS)


def _reader(answer: Answer) -> OllamaReader:
    def error_in(data: bytes) -> LLMError:
        return provider_error(200, _NO_HEADERS, data, answer.config, OLLAMA_ERRORS)

    return OllamaReader(answer, error_in)
