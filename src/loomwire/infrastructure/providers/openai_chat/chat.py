"""The chat dialect: OpenAI's chat completions, as about a dozen vendors speak it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import FrozenDict
from loomwire.infrastructure.providers.openai_chat.azure import chat_path, quirks_at
from loomwire.infrastructure.providers.openai_chat.decode import ChatReader
from loomwire.infrastructure.providers.openai_chat.encode import encode_chat
from loomwire.infrastructure.providers.openai_chat.errors import CHAT_ERRORS
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.errors import provider_error
from loomwire.infrastructure.providers.wire.exchange.headers import NO_HEADERS
from loomwire.infrastructure.providers.wire.tuned import TunedDialect

_PASS_THROUGH: Mapping[str, str] = FrozenDict({"extra-parameters": "pass-through"})


@final
class OpenAIChat(TunedDialect[ChatQuirks]):
    """Speaks chat completions with one vendor.

    Args:
        quirks: How the vendor differs from OpenAI.
    """

    __slots__ = ()

    answer_mark = b'"choices"'

    def __init__(self, quirks: ChatQuirks = ChatQuirks()) -> None:
        """Speak with these quirks."""
        super().__init__(quirks)

    @override
    def path(self, config: LLMConfig, *, stream: bool) -> str:
        return chat_path(config, self._quirks)

    @override
    def headers(self, config: LLMConfig) -> Mapping[str, str]:
        return _PASS_THROUGH if self._quirks.pass_through else NO_HEADERS

    @override
    def encode(self, request: LLMRequest, config: LLMConfig, *, stream: bool) -> bytes:
        quirks = quirks_at(config, self._quirks) if self._quirks.deployments else self._quirks
        return encode_chat(request, config, quirks, stream=stream)

    @override
    def reader(self, answer: Answer) -> ChatReader:
        return ChatReader(answer, self._quirks)

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return provider_error(status, headers, body, config, CHAT_ERRORS)
