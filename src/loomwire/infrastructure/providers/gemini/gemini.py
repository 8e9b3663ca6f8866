"""The Gemini dialect: Google's generateContent, of the Gemini API and of Vertex AI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, final
from urllib.parse import quote

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, LLMError
from loomwire.domain.events import StreamEvent
from loomwire.domain.policies import WireLimits
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import FrozenDict
from loomwire.infrastructure.providers.gemini.decode import GeminiReader
from loomwire.infrastructure.providers.gemini.encode import encode_gemini
from loomwire.infrastructure.providers.gemini.errors import gemini_error
from loomwire.infrastructure.providers.gemini.quirks import GeminiQuirks
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.dialect import Dialect, EventReader, Framer
from loomwire.infrastructure.transport.framing.sniffed import SniffedDecoder

_NO_HEADERS: Mapping[str, str] = FrozenDict()
_PLACES: Final = ("tunedModels", "publishers", "endpoints")


@final
class Gemini(Dialect):
    """Speaks generateContent with one host.

    Args:
        quirks: How the host differs from the Gemini API.
    """

    __slots__ = ("_quirks",)

    stream_types: ClassVar[tuple[str, ...]] = ("text/event-stream", "application/json")
    answer_mark = b'"candidates"'

    def __init__(self, quirks: GeminiQuirks = GeminiQuirks()) -> None:
        """Speak with these quirks."""
        self._quirks = quirks

    @override
    def framer(self, limits: WireLimits) -> Framer:
        return SniffedDecoder(limits.event, limits.error_body)

    @override
    def path(self, config: LLMConfig, *, stream: bool) -> str:
        """Return path and query; raises ConfigError for a model's name that would lead elsewhere."""
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/{model_path(config, self._quirks.models)}:{method}"

    @override
    def headers(self, config: LLMConfig) -> Mapping[str, str]:
        return _NO_HEADERS

    @override
    def encode(self, request: LLMRequest, config: LLMConfig, *, stream: bool) -> bytes:
        return encode_gemini(request, config, self._quirks)

    @override
    def decode(self, body: bytes, answer: Answer) -> Sequence[StreamEvent]:
        return self._reader(answer).decode_whole(body)

    @override
    def reader(self, answer: Answer) -> EventReader:
        return self._reader(answer)

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return gemini_error(status, headers, body, config)

    def _reader(self, answer: Answer) -> GeminiReader:
        def error_in(data: bytes) -> LLMError:
            return gemini_error(200, _NO_HEADERS, data, answer.config)

        return GeminiReader(answer, error_in)


def model_path(config: LLMConfig, home: str) -> str:
    """Return where a model is: `home` and its name, or the place that its name gives (`tunedModels/...`).

    Raises:
        ConfigError: A step of the name is empty, `.` or `..`.
    """
    name = config.model.removeprefix("models/")
    steps = name.split("/")
    if any(step in ("", ".", "..") for step in steps):
        raise ConfigError(
            f"provider {config.name!r}: {config.model!r} is no name of a model",
            reason="out_of_range",
            provider=config.name,
            hint="Write the model's name, with or without `models/`, or its place, such as tunedModels/mine.",
        )
    path = "/".join(quote(step, safe="@") for step in steps)
    return path if steps[0] in _PLACES and len(steps) > 1 else f"{home}/{path}"
