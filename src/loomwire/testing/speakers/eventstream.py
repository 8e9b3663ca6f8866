"""Messages of `application/vnd.amazon.eventstream`, with right lengths and checksums."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final
from zlib import crc32

_PRELUDE: Final = struct.Struct(">III")
_CHECKSUM: Final = struct.Struct(">I")


def message(head: bytes, payload: bytes) -> bytes:
    """Return one message of encoded headers and a payload."""
    lengths = struct.pack(">II", _PRELUDE.size + len(head) + len(payload) + _CHECKSUM.size, len(head))
    whole = lengths + _CHECKSUM.pack(crc32(lengths)) + head + payload
    return whole + _CHECKSUM.pack(crc32(whole))


def is_framed(data: bytes) -> bool:
    """Tell whether bytes are one message of an event stream, and no text."""
    return data[:1] == b"\0" and len(data) >= _PRELUDE.size and _PRELUDE.unpack_from(data)[0] == len(data)


def reframed(framed: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return a message with its payload changed, lengths and checksums right again."""
    begin = _PRELUDE.size + _PRELUDE.unpack_from(framed)[1]
    return message(framed[_PRELUDE.size : begin], change(framed[begin : -_CHECKSUM.size]))
