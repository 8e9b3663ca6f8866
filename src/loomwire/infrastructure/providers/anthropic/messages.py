"""The messages dialect: Anthropic's, as other servers speak it too."""

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
from loomwire.infrastructure.providers.anthropic.decode import MessagesReader
from loomwire.infrastructure.providers.anthropic.encode import encode_messages
from loomwire.infrastructure.providers.anthropic.errors import messages_error
from loomwire.infrastructure.providers.anthropic.quirks import AnthropicQuirks
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.dialect import Dialect, EventReader, Framer
from loomwire.infrastructure.transport.framing.sse import SSEDecoder


@final
class AnthropicMessages(Dialect):
    """Speaks messages with one vendor.

    Args:
        quirks: How the vendor differs from Anthropic.
    """

    __slots__ = ("_quirks",)

    answer_mark = b'"stop_reason"'

    def __init__(self, quirks: AnthropicQuirks = AnthropicQuirks()) -> None:
        """Speak with these quirks."""
        self._quirks = quirks

    @override
    def framer(self, limits: WireLimits) -> Framer:
        return SSEDecoder(limits.event, limits.error_body)

    @override
    def path(self, config: LLMConfig, *, stream: bool) -> str:
        return "/messages"

    @override
    def headers(self, config: LLMConfig) -> Mapping[str, str]:
        return FrozenDict({"anthropic-version": self._quirks.version})

    @override
    def encode(self, request: LLMRequest, config: LLMConfig, *, stream: bool) -> bytes:
        return encode_messages(request, config, self._quirks, stream=stream)

    @override
    def decode(self, body: bytes, answer: Answer) -> Sequence[StreamEvent]:
        return MessagesReader(answer).decode_whole(body)

    @override
    def reader(self, answer: Answer) -> EventReader:
        return MessagesReader(answer)

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return messages_error(status, headers, body, config)
