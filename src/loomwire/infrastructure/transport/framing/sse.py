"""Bytes to server-sent events, right for every cut, linear in the bytes.

The WHATWG standard's "interpreting an event stream" holds. Only CR, LF and CRLF end a line: U+2028 and U+0085 inside
JSON are text (TRAPS.md 1, 2, 9). `id` and `retry` mean nothing here, because nothing reconnects.
"""

from __future__ import annotations

from typing import NamedTuple

from loomwire.domain.errors import LLMError
from loomwire.domain.policies import WireLimits
from loomwire.infrastructure.transport.framing.pieces import BLANKS, BOM, broken_off, is_json, too_large

_DONE = b"[DONE]"


class SSEEvent(NamedTuple):
    """One server-sent event.

    Attributes:
        event: Its name; "message" when it has none.
        data: Its data lines, joined by a line feed.
    """

    event: str
    data: bytes


class SSEDecoder:
    """Cuts a body into server-sent events.

    A body that is no event stream but JSON (an error that came as status 200) is collected in `stray`.

    Args:
        limit: Bytes of the largest event or line.
        stray_limit: Bytes of stray text that are kept.

    Attributes:
        failure: What is wrong behind the events returned last; nothing more can be read then.
        unfinished: After `flush`: the body ended in the middle of an event.
    """

    __slots__ = (
        "_after_cr",
        "_begun",
        "_data",
        "_limit",
        "_name",
        "_size",
        "_stray",
        "_stray_left",
        "_tail",
        "_tail_size",
        "failure",
        "unfinished",
    )

    def __init__(self, limit: int = WireLimits().event, stray_limit: int = WireLimits().error_body) -> None:
        """Start before the first byte."""
        self._limit = limit
        self._tail: list[bytes] = []
        self._tail_size = 0
        self._after_cr = False
        self._begun = False
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0
        self._stray: list[bytes] = []
        self._stray_left = stray_limit
        self.failure: LLMError | None = None
        self.unfinished = False

    @property
    def stray(self) -> bytes:
        """Lines that are no event stream, from the first that begins with a brace or bracket; else empty."""
        return b"\n".join(self._stray)

    def feed(self, data: bytes) -> list[SSEEvent]:
        """Take the next bytes and return the events they complete.

        Raises:
            LLMProtocolError: An event or line is larger than the limit (too_large) and nothing whole came before it;
                else `failure` holds it. Do not go on after it.
        """
        if self.failure is not None:
            raise self.failure
        whole = self._whole_events(data)
        if whole is not None:
            return whole
        if self._after_cr:
            self._after_cr = not data
            data = data.removeprefix(b"\n")
        if not data:
            return []
        if b"\n" not in data and b"\r" not in data:
            self._keep(data)
            return []
        events: list[SSEEvent] = []
        try:
            self._read(self._lines(data), events)
        except LLMError as error:
            self.failure = broken_off(error, events)
        return events

    def flush(self) -> list[SSEEvent]:
        """Take the end of the body and return the last event, if it is whole.

        An event without its blank line counts as whole when its data is JSON or `[DONE]`; else `unfinished` is set.
        """
        if self.failure is not None:
            raise self.failure
        rest = b"".join(self._tail)
        self._tail.clear()
        self._tail_size = 0
        if rest:
            self._line(rest)
            self.unfinished = rest.startswith(b"event") or b"data:".startswith(rest) or b"event:".startswith(rest)
        if not self._data:
            self.unfinished = self.unfinished or bool(self._name)
            return []
        event = self._dispatched()
        whole = event.data.strip(BLANKS) == _DONE or is_json(event.data)
        self.unfinished = self.unfinished or not whole
        return [] if self.unfinished else [event]

    def _whole_events(self, data: bytes) -> list[SSEEvent] | None:
        # Whole events per chunk are what servers send, so they must cost next to nothing. Google's end in CRLF (1).
        if self._tail or self._data or self._name or self._after_cr:
            return None
        mark = b"\n\n" if data.endswith(b"\n\n") else b"\r\n\r\n"
        if len(data) > self._limit or not data.endswith(mark):
            return None
        if not data.startswith(b"data: "):
            return self._named(data, len(data) - len(mark))
        end = len(data) - len(mark)
        if data.find(b"\n", 0, end) >= 0:
            return self._several(data, mark)
        if data.find(b"\r", 0, end) >= 0:
            return None
        self._begun = True
        return [SSEEvent("message", data[6:end])]

    def _several(self, data: bytes, mark: bytes) -> list[SSEEvent] | None:
        whole = data.split(mark)
        whole.pop()
        lines = 2 * len(whole)
        if data.count(b"\n") != lines or data.count(b"\r") != (lines if mark.startswith(b"\r") else 0):
            return None
        events = [SSEEvent("message", line[6:]) for line in whole if line.startswith(b"data: ")]
        if len(events) < len(whole):
            return None
        self._begun = True
        return events

    def _named(self, data: bytes, end: int) -> list[SSEEvent] | None:
        cut = data.find(b"\n", 0, end)
        if cut < 0 or not data.startswith(b"event: ") or not data.startswith(b"data: ", cut + 1):
            return None
        if data.find(b"\n", cut + 1, end) >= 0 or data.find(b"\r", 0, end) >= 0:
            return None
        self._begun = True
        return [SSEEvent(data[7:cut].decode("utf-8", "replace"), data[cut + 7 : end])]

    def _lines(self, data: bytes) -> list[bytes]:
        if self._tail:
            self._tail.append(data)
            data = b"".join(self._tail)
            self._tail.clear()
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data.split(b"\n")

    def _read(self, lines: list[bytes], events: list[SSEEvent]) -> None:
        self._tail_size = 0
        rest = lines.pop()
        for line in lines:
            if line:
                self._line(line)
            elif self._data:
                events.append(self._dispatched())
            else:
                self._name = ""
        if rest:
            self._keep(rest)

    def _dispatched(self) -> SSEEvent:
        event = SSEEvent(self._name or "message", self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
        self._name = ""
        self._data.clear()
        self._size = 0
        return event

    def _line(self, line: bytes) -> None:
        if self._size + len(line) > self._limit:
            raise too_large("event", self._limit)
        if not self._begun:
            self._begun = True
            line = line.removeprefix(BOM)
        if line.startswith(b"data: "):
            self._add(line[6:])
        elif line.startswith(b"event: "):
            self._name = line[7:].decode("utf-8", "replace")
        else:
            self._rare_line(line)

    def _rare_line(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        if field == b"data":
            self._add(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif self._stray or line.lstrip(BLANKS)[:1] in (b"{", b"["):
            self._keep_stray(line)

    def _add(self, value: bytes) -> None:
        self._data.append(value)
        self._size += len(value) + 1

    def _keep(self, part: bytes) -> None:
        self._tail.append(part)
        self._tail_size += len(part)
        if self._size + self._tail_size > self._limit:
            raise too_large("event", self._limit)

    def _keep_stray(self, line: bytes) -> None:
        if self._stray_left > 0:
            self._stray.append(line[: self._stray_left])
            self._stray_left -= len(line) + 1
