"""Bytes to events for servers that stream server-sent events or a JSON array, whatever their headers say."""

from __future__ import annotations

from collections.abc import Sequence

from loomwire.domain.errors import LLMError
from loomwire.domain.policies import WireLimits
from loomwire.infrastructure.transport.framing.json_stream import JSONStreamDecoder
from loomwire.infrastructure.transport.framing.pieces import BLANKS, BOM, is_json
from loomwire.infrastructure.transport.framing.sse import SSEDecoder, SSEEvent


class SniffedDecoder:
    """Decides by the first byte: a bracket or brace begins JSON values, anything else server-sent events.

    JSON that stands bare among server-sent events, as Google writes its errors (TRAPS.md 7), is an event too; it comes
    with the end of the body.

    Args:
        limit: Bytes of the largest event, line or value.
        stray_limit: Bytes that such bare JSON may have.
    """

    __slots__ = ("_held", "_is_fresh", "_is_stray_read", "_limit", "_sse", "_stray_limit", "_values")

    def __init__(self, limit: int = WireLimits().event, stray_limit: int = WireLimits().error_body) -> None:
        """Start before the first byte."""
        self._limit = limit
        self._stray_limit = stray_limit
        self._held = b""
        self._sse: SSEDecoder | None = None
        self._values: JSONStreamDecoder | None = None
        self._is_fresh = True
        self._is_stray_read = False

    @property
    def stray(self) -> bytes:
        """What stands bare among server-sent events and is no whole JSON; else empty."""
        return b"" if self._sse is None or self._is_stray_read else self._sse.stray

    @property
    def failure(self) -> LLMError | None:
        """What is wrong behind the events returned last; nothing more can be read then."""
        framer = self._sse or self._values
        return None if framer is None else framer.failure

    @property
    def unfinished(self) -> bool:
        """After `flush`: the body ended in the middle of an event."""
        framer = self._sse or self._values
        return bool(self._held) if framer is None else framer.unfinished

    def feed(self, data: bytes) -> Sequence[SSEEvent]:
        """Take the next bytes and return the events they complete.

        Raises:
            LLMProtocolError: An event is larger than the limit (too_large) and nothing whole came before it; else
                `failure` holds it. Do not go on after it.
        """
        if self._sse is not None:
            return self._sse.feed(data)
        if self._values is not None:
            return _events(self._values.feed(data))
        data = self._held + data
        if self._is_fresh:
            if len(data) < len(BOM) and BOM.startswith(data):
                self._held = data
                return ()
            self._is_fresh, self._held = False, b""
            data = data.removeprefix(BOM)
        data = data.lstrip(BLANKS)
        if not data:
            return ()
        if data[:1] in (b"[", b"{"):
            self._values = JSONStreamDecoder(self._limit)
            return _events(self._values.feed(data))
        self._sse = SSEDecoder(self._limit, self._stray_limit)
        return self._sse.feed(data)

    def flush(self) -> Sequence[SSEEvent]:
        """Take the end of the body and return what was whole but not closed."""
        if self._values is not None:
            return _events(self._values.flush())
        if self._sse is None:
            return ()
        events = self._sse.flush()
        bare = self._sse.stray
        if bare and is_json(bare):
            self._is_stray_read = True
            events.append(SSEEvent("message", bare))
        return events


def _events(values: list[bytes]) -> Sequence[SSEEvent]:
    return [SSEEvent("message", value) for value in values]
