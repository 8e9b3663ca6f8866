"""Ollama's streams: one line of JSON an event."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from loomwire.domain.errors import LLMError
from loomwire.domain.policies import WireLimits
from loomwire.infrastructure.providers.wire.dialect import Framer
from loomwire.infrastructure.transport.framing.ndjson import NDJSONDecoder
from loomwire.infrastructure.transport.framing.pieces import is_json


class LineFramer(Framer):
    """Cuts a body into its lines. Each is an event without a name.

    A body whose first line is no JSON of its own, such as an answer that was printed over several lines, is collected
    in `stray`, up to the limit of an error's body.

    Args:
        limits: How large a line, and stray text, may be.
    """

    __slots__ = ("_decoder", "_is_checked", "_is_stray", "_left", "_stray")

    def __init__(self, limits: WireLimits) -> None:
        """Start before the first byte."""
        self._decoder = NDJSONDecoder(limits.event)
        self._is_checked = False
        self._is_stray = False
        self._left = limits.error_body
        self._stray: list[bytes] = []

    @property
    @override
    def stray(self) -> bytes:
        return b"\n".join(self._stray)

    @property
    @override
    def failure(self) -> LLMError | None:
        return self._decoder.failure

    @property
    @override
    def unfinished(self) -> bool:
        return self._decoder.unfinished

    @override
    def feed(self, data: bytes, /) -> Sequence[tuple[str, bytes]]:
        return self._events(self._decoder.feed(data))

    @override
    def flush(self) -> Sequence[tuple[str, bytes]]:
        # The last line of stray text is no JSON either, so only a line's end brings it out.
        rest = self._decoder.feed(b"\n") if self._is_stray else self._decoder.flush()
        return self._events(rest)

    def _events(self, lines: list[bytes]) -> Sequence[tuple[str, bytes]]:
        if not lines:
            return ()
        if not self._is_checked:
            self._is_checked = True
            self._is_stray = lines[0][:1] in (b"{", b"[") and not is_json(lines[0])
        if not self._is_stray:
            return [("", line) for line in lines]
        for line in lines:
            if self._left > 0:
                self._stray.append(line[: self._left])
                self._left -= len(line) + 1
        return ()
