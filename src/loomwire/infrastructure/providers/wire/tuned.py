"""What dialects have in common that are spoken with the quirks of one vendor."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.events import StreamEvent
from loomwire.domain.policies import WireLimits
from loomwire.infrastructure.providers.quirks import Quirks
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.dialect import Dialect, EventReader, Framer
from loomwire.infrastructure.providers.wire.exchange.headers import NO_HEADERS
from loomwire.infrastructure.transport.framing.sse import SSEDecoder

Q = TypeVar("Q", bound=Quirks)


class AnswerReader(EventReader, Protocol):
    """Reads the events of one stream, or a whole answer in their place, into its `Answer`. Belongs to one task."""

    __slots__ = ()

    @abstractmethod
    def decode_whole(self, body: bytes) -> Sequence[StreamEvent]:
        """Read a whole answer and close it.

        Raises:
            LLMError: It reports an error, holds no answer, or is not whole.
        """


class TunedDialect(Dialect, Generic[Q]):
    """A dialect as one vendor speaks it: by server-sent events and without headers of its own, unless overridden.

    Args:
        quirks: How the vendor differs.
    """

    __slots__ = ("_quirks",)

    def __init__(self, quirks: Q) -> None:
        """Speak with these quirks."""
        self._quirks = quirks

    @override
    def framer(self, limits: WireLimits) -> Framer:
        return SSEDecoder(limits.event, limits.error_body)

    @override
    def headers(self, config: LLMConfig) -> Mapping[str, str]:
        return NO_HEADERS

    @override
    def decode(self, body: bytes, answer: Answer) -> Sequence[StreamEvent]:
        return self.reader(answer).decode_whole(body)

    @abstractmethod
    @override
    def reader(self, answer: Answer) -> AnswerReader:
        """Return the reader of one stream, or of one whole answer."""
