"""Bytes to events of `application/vnd.amazon.eventstream`, right for every cut, linear in the bytes.

A message is: its length and that of its headers, a checksum of both, headers, payload, a checksum of all before it;
numbers are big endian. What kind of message it is stands in its headers.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.policies import KIB, WireLimits
from loomwire.infrastructure.transport.framing.pieces import BLANKS, broken_off, too_large

EXCEPTION: Final = "exception:"
"""Begins the name of a message that reports an error the service's interface knows; the error's name follows."""

ERROR: Final = "error:"
"""The same for any other error."""

MOST_HEADERS: Final = 128 * KIB
"""Bytes of one message's headers, as the format's description allows."""

_PRELUDE = struct.Struct(">III")
_CHECKSUM = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_AROUND = _PRELUDE.size + _CHECKSUM.size
_TEXT = 7
_BYTES = 6
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_MOST_KNOWN = 32
_SMALL = 512


class StreamMessage(NamedTuple):
    """One message.

    Attributes:
        event: Its name; begins with `EXCEPTION` or `ERROR` when it reports one.
        data: Its payload; of an error without payload, what its headers say as JSON.
    """

    event: str
    data: bytes


class _Kind(NamedTuple):
    event: str
    said: bytes


class EventStreamDecoder:
    """Cuts a body into messages.

    Text that stands where a message should begin (an error that came as status 200) is collected in `stray`.

    Args:
        limit: Bytes of the largest payload.
        stray_limit: Bytes of stray text that are kept.

    Attributes:
        failure: What is wrong behind the messages returned last; nothing more can be read then.
        unfinished: After `flush`: the body ended in the middle of a message.
    """

    __slots__ = ("_have", "_known", "_limit", "_need", "_pieces", "_stray", "_stray_left", "failure", "unfinished")

    def __init__(self, limit: int = WireLimits().event, stray_limit: int = WireLimits().error_body) -> None:
        """Start before the first byte."""
        self._limit = limit
        self._stray_left = stray_limit
        self._pieces: list[bytes] = []
        self._have = 0
        self._need = _PRELUDE.size
        self._known: dict[bytes, _Kind] = {}
        self._stray: list[bytes] = []
        self.failure: LLMError | None = None
        self.unfinished = False

    @property
    def stray(self) -> bytes:
        """Text that begins with a brace or bracket where a message should begin; else empty."""
        return b"".join(self._stray)

    def feed(self, data: bytes) -> list[StreamMessage]:
        """Take the next bytes and return the messages they complete.

        Raises:
            LLMProtocolError: They are no messages, or a checksum is wrong; or a message is larger than the limit
                (too_large); and nothing whole came before it, else `failure` holds it. Do not go on after it.
        """
        if self.failure is not None:
            raise self.failure
        if self._stray:
            self._keep_stray(data)
            return []
        if not self._pieces:
            whole = self._whole_message(data)
            if whole is not None:
                return [whole]
        self._pieces.append(data)
        self._have += len(data)
        if self._have < self._need:
            return []
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        messages: list[StreamMessage] = []
        try:
            self._cut(data, messages)
        except LLMError as error:
            self.failure = broken_off(error, messages)
        return messages

    def flush(self) -> list[StreamMessage]:
        """Take the end of the body; nothing that is not closed is whole."""
        if self.failure is not None:
            raise self.failure
        rest = b"".join(self._pieces)
        self._pieces.clear()
        self._have = 0
        self.unfinished = bool(rest) and not self._is_text(rest)
        return []

    def _whole_message(self, data: bytes) -> StreamMessage | None:
        # One whole message per chunk is what servers send, so it must cost next to nothing.
        if len(data) < _AROUND:
            return None
        size, headers, checksum = _PRELUDE.unpack_from(data)
        if size != len(data) or crc32(data[:8]) != checksum:
            return None
        self._check_size(size, headers)
        return self._message(data, headers)

    def _cut(self, data: bytes, messages: list[StreamMessage]) -> None:
        at, end = 0, len(data)
        self._need = _PRELUDE.size
        while end - at >= _PRELUDE.size:
            size, headers, checksum = _PRELUDE.unpack_from(data, at)
            if crc32(data[at : at + 8]) != checksum:
                if not self._is_text(data[at:]):
                    raise _broken("what came is no message of an event stream")
                at = end
                break
            self._check_size(size, headers)
            if end - at < size:
                self._need = size
                break
            messages.append(self._message(data[at : at + size], headers))
            at += size
        self._have = end - at
        if self._have:
            self._pieces.append(data[at:] if at else data)

    def _check_size(self, size: int, headers: int) -> None:
        payload = size - headers - _AROUND
        if payload < 0:
            raise _broken("a message is shorter than its headers")
        if payload > self._limit or headers > MOST_HEADERS:
            raise too_large("message", self._limit)

    def _message(self, whole: bytes, headers: int) -> StreamMessage:
        if crc32(whole[: -_CHECKSUM.size]) != _CHECKSUM.unpack_from(whole, len(whole) - _CHECKSUM.size)[0]:
            raise _broken("the checksum of a message is wrong")
        begin = _PRELUDE.size + headers
        head = whole[_PRELUDE.size : begin]
        # All messages of one kind have the same headers, so that they are read once.
        kind = self._known.get(head)
        if kind is None:
            kind = _kind(_headers(head))
            if len(head) <= _SMALL and len(self._known) < _MOST_KNOWN:
                self._known[head] = kind
        return StreamMessage(kind.event, whole[begin : -_CHECKSUM.size] or kind.said)

    def _is_text(self, data: bytes) -> bool:
        """Tell whether what stands where a message should begin is blank or JSON, and keep that."""
        text = data.lstrip(BLANKS)
        if text[:1] in (b"{", b"["):
            self._keep_stray(text)
            return True
        return not text

    def _keep_stray(self, text: bytes) -> None:
        if self._stray_left > 0:
            self._stray.append(text[: self._stray_left])
            self._stray_left -= len(text)


def _headers(head: bytes) -> dict[str, str]:
    """Return the headers that are texts."""
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(head):
            begin = at + 1
            at = begin + head[at] + 1
            name, kind = head[begin : at - 1], head[at - 1]
            if kind in (_BYTES, _TEXT):
                begin = at + _LENGTH.size
                at = begin + _LENGTH.unpack_from(head, at)[0]
            else:
                begin, at = at, at + _SIZES[kind]
            if at > len(head):
                raise _broken("the headers of a message are cut")
            if kind == _TEXT:
                found[name.decode("utf-8", "replace")] = head[begin:at].decode("utf-8", "replace")
    except (IndexError, KeyError, struct.error):
        raise _broken("the headers of a message cannot be read") from None
    return found


def _kind(headers: dict[str, str]) -> _Kind:
    kind = headers.get(":message-type", "event")
    if kind == "exception":
        return _Kind(EXCEPTION + headers.get(":exception-type", ""), b"")
    if kind == "error":
        said = msgspec.json.encode({"message": headers.get(":error-message", "")})
        return _Kind(ERROR + headers.get(":error-code", ""), said)
    return _Kind(headers.get(":event-type", ""), b"")


def _broken(why: str) -> LLMError:
    return llm_error("protocol", why, phase="body")
