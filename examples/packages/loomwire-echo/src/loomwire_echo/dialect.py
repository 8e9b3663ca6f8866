"""Echo as loomwire speaks it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import final

from typing_extensions import override

from loomwire.dialects import (
    Answer,
    Dialect,
    ErrorTable,
    EventReader,
    Framer,
    LLMConfig,
    LLMError,
    LLMRequest,
    SSEDecoder,
    StreamEvent,
    WireLimits,
    provider_error,
)
from loomwire_echo.decode import EchoReader
from loomwire_echo.encode import encode
from loomwire_echo.quirks import EchoQuirks

_NO_WORDS = re.compile(r"(?!)")

ERRORS = ErrorTable(
    codes={
        "bad_key": "credentials",
        "empty_purse": "quota_exhausted",
        "no_such_engine": "model",
        "too_many_words": "context_length",
        "unspeakable": "content_filter",
    },
    endings={},
    types={},
    context_length=re.compile(r"The turns have more words than"),
    too_large=_NO_WORDS,
    wait=re.compile(r"[Ww]ait for "),
)


@final
class EchoDialect(Dialect):
    """Speaks Echo with one server.

    Args:
        quirks: How the server differs.
    """

    answer_mark = b'"said"'

    def __init__(self, quirks: EchoQuirks = EchoQuirks()) -> None:
        self._quirks = quirks

    @override
    def framer(self, limits: WireLimits) -> Framer:
        return SSEDecoder(limits.event, limits.error_body)

    @override
    def path(self, config: LLMConfig, *, stream: bool) -> str:
        return "/echo"

    @override
    def headers(self, config: LLMConfig) -> Mapping[str, str]:
        return {"echo-version": "2"}

    @override
    def encode(self, request: LLMRequest, config: LLMConfig, *, stream: bool) -> bytes:
        return encode(request, config, self._quirks, stream=stream)

    @override
    def decode(self, body: bytes, answer: Answer) -> Sequence[StreamEvent]:
        return self._reader(answer).whole(body)

    @override
    def reader(self, answer: Answer) -> EventReader:
        return self._reader(answer)

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return provider_error(status, headers, body, config, ERRORS)

    def _reader(self, answer: Answer) -> EchoReader:
        return EchoReader(answer, lambda data: provider_error(200, {}, data, answer.config, ERRORS))
