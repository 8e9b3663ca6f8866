"""The Bedrock dialect: Converse and ConverseStream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, final
from urllib.parse import quote

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.policies import WireLimits
from loomwire.domain.ports.pool import WireRequest
from loomwire.domain.requests import LLMRequest
from loomwire.infrastructure.providers.bedrock.decode import ConverseReader
from loomwire.infrastructure.providers.bedrock.encode import encode_converse
from loomwire.infrastructure.providers.bedrock.errors import converse_error
from loomwire.infrastructure.providers.bedrock.quirks import BedrockQuirks
from loomwire.infrastructure.providers.bedrock.signing import check_signing, is_access_key, signed_request
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.dialect import Framer
from loomwire.infrastructure.providers.wire.exchange.headers import NO_HEADERS
from loomwire.infrastructure.providers.wire.tuned import TunedDialect
from loomwire.infrastructure.transport.framing.eventstream import EventStreamDecoder


@final
class BedrockConverse(TunedDialect[BedrockQuirks]):
    """Speaks Converse with Bedrock. A key of Bedrock's own is sent; an AWS access key signs and is never sent.

    Args:
        quirks: How the server or its models differ.
    """

    __slots__ = ()

    stream_types: ClassVar[tuple[str, ...]] = ("application/vnd.amazon.eventstream",)
    answer_mark = b'"stopReason"'

    def __init__(self, quirks: BedrockQuirks = BedrockQuirks()) -> None:
        """Speak with these quirks."""
        super().__init__(quirks)

    @override
    def framer(self, limits: WireLimits) -> Framer:
        return EventStreamDecoder(limits.event, limits.error_body)

    @override
    def path(self, config: LLMConfig, *, stream: bool) -> str:
        # An ARN has slashes, which are no path.
        return f"/model/{quote(config.model, safe='')}/{'converse-stream' if stream else 'converse'}"

    @override
    def headers(self, config: LLMConfig) -> Mapping[str, str]:
        if not config.keys:
            return NO_HEADERS
        check_signing(config)
        key = config.keys[0]
        return NO_HEADERS if is_access_key(key) else {"authorization": f"Bearer {key.reveal()}"}

    @override
    def signed(self, request: WireRequest, base_url: str, config: LLMConfig) -> WireRequest:
        # There is none only where an access key is.
        if not config.keys or any(name == "authorization" for name, _ in request.headers):
            return request
        return signed_request(request, base_url, config)

    @override
    def encode(self, request: LLMRequest, config: LLMConfig, *, stream: bool) -> bytes:
        return encode_converse(request, config, self._quirks)

    @override
    def reader(self, answer: Answer) -> ConverseReader:
        return ConverseReader(answer)

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return converse_error(status, headers, body, config)
