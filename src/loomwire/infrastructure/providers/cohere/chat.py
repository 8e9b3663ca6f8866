"""The Cohere dialect: chat v2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.events import StreamEvent
from loomwire.domain.policies import WireLimits
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import FrozenDict
from loomwire.infrastructure.providers.cohere.decode import CohereReader
from loomwire.infrastructure.providers.cohere.encode import encode_chat
from loomwire.infrastructure.providers.cohere.errors import COHERE_ERRORS
from loomwire.infrastructure.providers.cohere.quirks import CohereQuirks
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.dialect import Dialect, EventReader, Framer
from loomwire.infrastructure.providers.wire.errors import provider_error
from loomwire.infrastructure.transport.framing.sse import SSEDecoder

_NO_HEADERS: Mapping[str, str] = FrozenDict()


@final
class CohereChat(Dialect):
    """Speaks chat v2 with Cohere or a server like it.

    Args:
        quirks: How the server differs from Cohere's own.
    """

    __slots__ = ("_quirks",)

    answer_mark = b'"finish_reason"'

    def __init__(self, quirks: CohereQuirks = CohereQuirks()) -> None:
        """Speak with these quirks."""
        self._quirks = quirks

    @override
    def framer(self, limits: WireLimits) -> Framer:
        return SSEDecoder(limits.event, limits.error_body)

    @override
    def path(self, config: LLMConfig, *, stream: bool) -> str:
        return "/chat"

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
        return provider_error(status, headers, body, config, COHERE_ERRORS)


def _reader(answer: Answer) -> CohereReader:
    def error_in(data: bytes) -> LLMError:
        return provider_error(200, _NO_HEADERS, data, answer.config, COHERE_ERRORS)

    return CohereReader(answer, error_in)
