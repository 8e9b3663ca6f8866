"""What a wire dialect is: how requests become bytes, and bytes answers, events and errors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.events import StreamEvent
from loomwire.domain.policies import WireLimits
from loomwire.domain.ports.pool import WireRequest
from loomwire.domain.requests import LLMRequest
from loomwire.infrastructure.providers.wire.answer import Answer


class Framer(Protocol):
    """Cuts the bytes of one stream into events. Belongs to one task."""

    __slots__ = ()

    @property
    @abstractmethod
    def stray(self) -> bytes:
        """Text that is no stream of this framing but JSON, such as a bare error body; else empty."""

    @property
    def failure(self) -> LLMError | None:
        """What is wrong behind the events that `feed` returned last; nothing more is fed then."""
        return None

    @property
    def unfinished(self) -> bool:
        """After `flush`: the body ended in the middle of an event."""
        return False

    @abstractmethod
    def feed(self, data: bytes, /) -> Sequence[tuple[str, bytes]]:
        """Take the next bytes and return the events they complete, each as name and data.

        Raises:
            LLMProtocolError: An event is larger than allowed (too_large). When whole events came before it, they are
                returned and `failure` holds it, so that no cut of the network changes what is delivered.
        """

    @abstractmethod
    def flush(self) -> Sequence[tuple[str, bytes]]:
        """Take the end of the body and return what was whole but not closed."""


class EventReader(Protocol):
    """Reads the events of one stream into its `Answer`. Belongs to one task."""

    __slots__ = ()

    @abstractmethod
    def decode_event(self, event: str, data: bytes) -> Sequence[StreamEvent]:
        """Return what one framed event says, possibly nothing. Closes the answer when nothing more belongs to it.

        Args:
            event: The event's name, "" or "message" when it has none.
            data: The event's data.

        Raises:
            LLMError: The server reports an error in the stream, or the data is not what the dialect says.
        """

    @abstractmethod
    def end(self) -> Sequence[StreamEvent]:
        """Close the answer, because the body ended, and return its last events.

        Raises:
            StreamInterruptedError: There was no terminal sign, and the configuration does not forgive that.
        """


class Dialect(Protocol):
    """One way to talk to models: pure functions of bytes and values. Immutable, safe to share.

    Attributes:
        stream_types: Content types of its streams; the first is asked for. Its framer takes all of them.
        answer_mark: Bytes that every whole answer of it holds and no error does, such as `"choices"`: by them an
            answer is known that was sent where a stream belongs.
    """

    __slots__ = ()

    stream_types: ClassVar[tuple[str, ...]] = ("text/event-stream",)
    answer_mark: ClassVar[bytes]

    @abstractmethod
    def framer(self, limits: WireLimits) -> Framer:
        """Return what cuts one stream into events."""

    @abstractmethod
    def path(self, config: LLMConfig, *, stream: bool) -> str:
        """Return path and query below the base URL."""

    @abstractmethod
    def headers(self, config: LLMConfig) -> Mapping[str, str]:
        """Return the dialect's own headers, names in lower case; key, content type and accept come from the client."""

    def signed(self, request: WireRequest, base_url: str, config: LLMConfig) -> WireRequest:  # noqa: ARG002
        """Return a request with what proves who asks; as it is, unless overridden. For keys that are never sent.

        Args:
            request: As it would be sent.
            base_url: Where to.
            config: The target, with its keys.
        """
        return request

    @abstractmethod
    def encode(self, request: LLMRequest, config: LLMConfig, *, stream: bool) -> bytes:
        """Return the body of a request.

        Raises:
            CapabilityError: The vendor cannot express what the request asks for.
            LLMValidationError: A value is no JSON, or `extra` sets a field that is loomwire's own.
        """

    @abstractmethod
    def decode(self, body: bytes, answer: Answer) -> Sequence[StreamEvent]:
        """Read a whole answer and close it; returns the events that a stream of it would have had.

        Raises:
            LLMError: The body reports an error, or is not what the dialect says.
        """

    @abstractmethod
    def reader(self, answer: Answer) -> EventReader:
        """Return the reader of one stream."""

    @abstractmethod
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        """Return the error that a body reports; not raised.

        Args:
            status: The HTTP status; 200 for an error inside an answer or a stream.
            headers: Response headers, names in lower case.
            body: What the server said; any bytes.
            config: The target.
        """
