"""The messages dialect: Anthropic's, as other servers speak it too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import FrozenDict
from loomwire.infrastructure.providers.anthropic.decode import MessagesReader
from loomwire.infrastructure.providers.anthropic.encode import encode_messages
from loomwire.infrastructure.providers.anthropic.errors import messages_error
from loomwire.infrastructure.providers.anthropic.quirks import AnthropicQuirks
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.tuned import TunedDialect


@final
class AnthropicMessages(TunedDialect[AnthropicQuirks]):
    """Speaks messages with one vendor.

    Args:
        quirks: How the vendor differs from Anthropic.
    """

    __slots__ = ()

    answer_mark = b'"stop_reason"'

    def __init__(self, quirks: AnthropicQuirks = AnthropicQuirks()) -> None:
        """Speak with these quirks."""
        super().__init__(quirks)

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
    def reader(self, answer: Answer) -> MessagesReader:
        return MessagesReader(answer)

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return messages_error(status, headers, body, config)
