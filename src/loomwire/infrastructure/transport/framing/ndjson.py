"""Bytes to lines of JSON, right for every cut, linear in the bytes."""

from __future__ import annotations

from loomwire.domain.errors import LLMError
from loomwire.domain.policies import WireLimits
from loomwire.infrastructure.transport.framing.pieces import BLANKS, BOM, broken_off, is_json, too_large


class NDJSONDecoder:
    """Cuts a body into lines of JSON. Empty lines are skipped, blanks around a line removed.

    Args:
        limit: Bytes of the longest line.

    Attributes:
        failure: What is wrong behind the lines returned last; nothing more can be read then.
        unfinished: After `flush`: the body ended in the middle of a line of JSON.
    """

    __slots__ = ("_begun", "_limit", "_tail", "_tail_size", "failure", "unfinished")

    def __init__(self, limit: int = WireLimits().event) -> None:
        """Start before the first byte."""
        self._limit = limit
        self._tail: list[bytes] = []
        self._tail_size = 0
        self._begun = False
        self.failure: LLMError | None = None
        self.unfinished = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the lines they complete.

        Raises:
            LLMProtocolError: A line is larger than the limit (too_large) and nothing whole came before it; else
                `failure` holds it. Do not go on after it.
        """
        if self.failure is not None:
            raise self.failure
        if b"\n" not in data:
            if data:
                self._keep(data)
            return []
        self._tail.append(data)
        lines = b"".join(self._tail).split(b"\n")
        self._tail.clear()
        self._tail_size = 0
        rest = lines.pop()
        whole: list[bytes] = []
        try:
            whole.extend(filter(None, map(self._line, lines)))
            if rest:
                self._keep(rest)
        except LLMError as error:
            self.failure = broken_off(error, whole)
        return whole

    def flush(self) -> list[bytes]:
        """Take the end of the body and return the last line if it is whole JSON, else set `unfinished`."""
        if self.failure is not None:
            raise self.failure
        rest = self._line(b"".join(self._tail))
        self._tail.clear()
        self._tail_size = 0
        if not rest:
            return []
        whole = is_json(rest)
        # A page that came in place of lines has no line that could be cut.
        self.unfinished = not whole and rest[:1] in (b"{", b"[")
        return [rest] if whole else []

    def _line(self, line: bytes) -> bytes:
        if len(line) > self._limit:
            raise too_large("line", self._limit)
        if not self._begun and line:
            self._begun = True
            line = line.removeprefix(BOM)
        return line.strip(BLANKS)

    def _keep(self, part: bytes) -> None:
        self._tail.append(part)
        self._tail_size += len(part)
        if self._tail_size > self._limit:
            raise too_large("line", self._limit)
