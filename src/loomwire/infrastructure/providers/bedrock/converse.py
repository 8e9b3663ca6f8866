"""The Bedrock dialect: Converse and ConverseStream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, final
from urllib.parse import quote

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.events import StreamEvent
from loomwire.domain.policies import WireLimits
from loomwire.domain.ports.pool import WireRequest
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import FrozenDict
from loomwire.infrastructure.providers.bedrock.decode import ConverseReader
from loomwire.infrastructure.providers.bedrock.encode import encode_converse
from loomwire.infrastructure.providers.bedrock.errors import converse_error
from loomwire.infrastructure.providers.bedrock.quirks import BedrockQuirks
from loomwire.infrastructure.providers.bedrock.signing import check_signing, is_access_key, signed_request
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.dialect import Dialect, EventReader, Framer
from loomwire.infrastructure.transport.framing.eventstream import EventStreamDecoder

_NO_HEADERS: Mapping[str, str] = FrozenDict()


@final
class BedrockConverse(Dialect):
    """Speaks Converse with Bedrock. A key of Bedrock's own is sent; an AWS access key signs and is never sent.

    Args:
        quirks: How the server or its models differ.
    """

    __slots__ = ("_quirks",)

    stream_types: ClassVar[tuple[str, ...]] = ("application/vnd.amazon.eventstream",)
    answer_mark = b'"stopReason"'

    def __init__(self, quirks: BedrockQuirks = BedrockQuirks()) -> None:
        """Speak with these quirks."""
        self._quirks = quirks

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
            return _NO_HEADERS
        check_signing(config)
        key = config.keys[0]
        return _NO_HEADERS if is_access_key(key) else {"authorization": f"Bearer {key.reveal()}"}

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
    def decode(self, body: bytes, answer: Answer) -> Sequence[StreamEvent]:
        return _reader(answer).decode_whole(body)

    @override
    def reader(self, answer: Answer) -> EventReader:
        return _reader(answer)

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return converse_error(status, headers, body, config)


def _reader(answer: Answer) -> ConverseReader:
    def error_in(data: bytes, kind: str) -> LLMError:
        return converse_error(200, _NO_HEADERS, data, answer.config, kind)

    return ConverseReader(answer, error_in)
