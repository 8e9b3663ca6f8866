"""Messages of `application/vnd.amazon.eventstream`, as the loopback server frames them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final
from zlib import crc32

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"

_PRELUDE: Final = struct.Struct(">III")
_CHECKSUM: Final = struct.Struct(">I")
_TEXT: Final = 7


def framed(headers: Iterable[tuple[str, str]], payload: bytes) -> bytes:
    """Return one message with right lengths and checksums; header values are texts, as all of Bedrock's are."""
    pairs = ((name.encode(), value.encode()) for name, value in headers)
    head = b"".join(
        struct.pack(">B", len(name)) + name + struct.pack(">BH", _TEXT, len(value)) + value for name, value in pairs
    )
    return _framed(head, payload)


def event(kind: str, payload: bytes) -> bytes:
    """Return an event as Bedrock sends it."""
    return framed(((":event-type", kind), (":content-type", "application/json"), (":message-type", "event")), payload)


def exception(kind: str, payload: bytes) -> bytes:
    """Return a message that reports an error of the service's interface, such as `throttlingException`."""
    headers = ((":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception"))
    return framed(headers, payload)


def is_framed(data: bytes) -> bool:
    """Tell whether bytes are one message of an event stream, and no text."""
    return data[:1] == b"\0" and len(data) >= _PRELUDE.size and _PRELUDE.unpack_from(data)[0] == len(data)


def reframed(message: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return a message with its payload changed, lengths and checksums right again."""
    begin = _PRELUDE.size + _PRELUDE.unpack_from(message)[1]
    return _framed(message[_PRELUDE.size : begin], change(message[begin : -_CHECKSUM.size]))


def _framed(head: bytes, payload: bytes) -> bytes:
    lengths = struct.pack(">II", _PRELUDE.size + len(head) + len(payload) + _CHECKSUM.size, len(head))
    whole = lengths + _CHECKSUM.pack(crc32(lengths)) + head + payload
    return whole + _CHECKSUM.pack(crc32(whole))
