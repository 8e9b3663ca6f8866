"""The Responses dialect: OpenAI's newer API, used without the server's memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.requests import LLMRequest
from loomwire.infrastructure.providers.openai_responses.decode import ResponsesReader
from loomwire.infrastructure.providers.openai_responses.encode import encode_responses
from loomwire.infrastructure.providers.openai_responses.errors import RESPONSES_ERRORS
from loomwire.infrastructure.providers.openai_responses.quirks import ResponsesQuirks
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.errors import provider_error
from loomwire.infrastructure.providers.wire.tuned import TunedDialect


@final
class OpenAIResponses(TunedDialect[ResponsesQuirks]):
    """Speaks the Responses API with one vendor. Every request holds the whole conversation.

    Args:
        quirks: How the vendor differs from OpenAI.
    """

    __slots__ = ()

    answer_mark = b'"output"'

    def __init__(self, quirks: ResponsesQuirks = ResponsesQuirks()) -> None:
        """Speak with these quirks."""
        super().__init__(quirks)

    @override
    def path(self, config: LLMConfig, *, stream: bool) -> str:
        return "/responses"

    @override
    def encode(self, request: LLMRequest, config: LLMConfig, *, stream: bool) -> bytes:
        return encode_responses(request, config, self._quirks, stream=stream)

    @override
    def reader(self, answer: Answer) -> ResponsesReader:
        return ResponsesReader(answer)

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return provider_error(status, headers, body, config, RESPONSES_ERRORS)
