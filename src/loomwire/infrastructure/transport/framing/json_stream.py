"""Bytes to JSON values that stand in one array or one behind the other, right for every cut, linear in the bytes."""

from __future__ import annotations

import re

from loomwire.domain.errors import LLMError
from loomwire.domain.policies import WireLimits
from loomwire.infrastructure.transport.framing.pieces import BLANKS, BOM, broken_off, is_json, too_large

_QUOTE = ord('"')
_COMMA = ord(",")
_OPENS = b"[{"
# Runs of brackets and of commas are one step, so that deep nesting costs next to nothing.
_AT_BASE = re.compile(rb'"|,[, \t\r\n]*|[\[{]+|[\]}]+')
_INSIDE = re.compile(rb'"|[\[{]+|[\]}]+')
_TEXT = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)


class JSONStreamDecoder:
    """Cuts a body into JSON values: the elements of one array, handed out as soon as each is closed, or single values.

    It looks at brackets and texts only; whether a value is JSON is for whoever decodes it. A value that is no object
    and no array ends at a comma or with the body.

    Args:
        limit: Bytes of the largest value.

    Attributes:
        failure: What is wrong behind the values returned last; nothing more can be read then.
        unfinished: After `flush`: the body ended in the middle of a value.
    """

    __slots__ = (
        "_base",
        "_begun",
        "_depth",
        "_held",
        "_in_text",
        "_is_fresh",
        "_limit",
        "_tail",
        "_tail_size",
        "failure",
        "unfinished",
    )

    def __init__(self, limit: int = WireLimits().event) -> None:
        """Start before the first byte."""
        self._limit = limit
        self._tail: list[bytes] = []
        self._tail_size = 0
        self._held = b""
        self._in_text = False
        self._depth = 0
        self._base = 0
        self._is_fresh = True
        self._begun = False
        self.failure: LLMError | None = None
        self.unfinished = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the values they complete.

        Raises:
            LLMProtocolError: A value is larger than the limit (too_large) and nothing whole came before it; else
                `failure` holds it. Do not go on after it.
        """
        if self.failure is not None:
            raise self.failure
        data = self._held + data
        self._held = b""
        if not self._begun:
            data = self._start(data)
        values: list[bytes] = []
        try:
            self._cut(data, values)
        except LLMError as error:
            self.failure = broken_off(error, values)
        return values

    def flush(self) -> list[bytes]:
        """Take the end of the body and return the last value if it is whole JSON, else set `unfinished`."""
        if self.failure is not None:
            raise self.failure
        rest = self._ended(b"")
        self.unfinished = bool(self._held) or (bool(rest) and not is_json(rest))
        return [rest] if rest and not self.unfinished else []

    def _cut(self, data: bytes, values: list[bytes]) -> None:
        at = start = 0
        while at < len(data):
            if self._in_text:
                at, data = self._through_text(data, at)
                continue
            found = (_INSIDE if self._depth > self._base else _AT_BASE).search(data, at)
            if found is None:
                break
            at, ends, dropped = self._step(data, found.start(), found.end())
            if ends >= 0:
                value = self._ended(data[start:ends])
                if value:
                    values.append(value)
                start = ends + dropped
        self._keep(data[start:])

    def _start(self, data: bytes) -> bytes:
        if self._is_fresh:
            if len(data) < len(BOM) and BOM.startswith(data):
                self._held = data
                return b""
            self._is_fresh = False
            data = data.removeprefix(BOM)
        data = data.lstrip(BLANKS)
        self._begun = bool(data)
        if data.startswith(b"["):
            self._base = self._depth = 1
            return data[1:]
        return data

    def _through_text(self, data: bytes, at: int) -> tuple[int, bytes]:
        found = _TEXT.match(data, at)
        at = len(data) if found is None else found.end()
        if at < len(data):
            if data[at] == _QUOTE:
                self._in_text = False
                return at + 1, data
            # A backslash at the very end: what it escapes comes next.
            self._held = data[at:]
        return at, data[:at]

    def _step(self, data: bytes, at: int, end: int) -> tuple[int, int, int]:
        """Return where to go on, where a value ends (-1 for nowhere), and how many bytes behind it are none of one."""
        first = data[at]
        if first == _QUOTE:
            self._in_text = True
            return at + 1, -1, 0
        if first == _COMMA:
            return end, at, end - at
        if first in _OPENS:
            self._depth += end - at
            return end, -1, 0
        room = self._depth - self._base
        if end - at < room:
            self._depth -= end - at
            return end, -1, 0
        if room:
            self._depth = self._base
            return at + room, at + room, 0
        if self._base:
            self._depth = self._base = 0
            return at + 1, at, 1
        return end, -1, 0

    def _keep(self, part: bytes) -> None:
        if not self._tail:
            part = part.lstrip(BLANKS)
        if part:
            self._tail.append(part)
            self._tail_size += len(part)
            if self._tail_size > self._limit:
                raise too_large("value", self._limit)

    def _ended(self, part: bytes) -> bytes:
        if self._tail:
            self._keep(part)
            part = b"".join(self._tail)
            self._tail.clear()
            self._tail_size = 0
        value = part.strip(BLANKS)
        if len(value) > self._limit:
            raise too_large("value", self._limit)
        return value
