"""The bodies of requests as they come in: of a length that was announced, or in chunks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, final

_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;.*)?")
_MOST_BODY: Final = 64 * 1024 * 1024
_MOST_LINE: Final = 8 * 1024


class RefusedError(Exception):
    """What came is no request that we read.

    Attributes:
        status: The HTTP status that says so.
    """

    def __init__(self, status: int) -> None:
        """Keep the status."""
        super().__init__(status)
        self.status = status


@final
class Body:
    """One body that is still coming.

    Args:
        length: How many bytes it has, or None when it comes in chunks.
    """

    def __init__(self, length: int | None) -> None:
        """Wait for the first byte."""
        self._length = length
        self._read = bytearray()
        self._is_past_data = False

    def taken(self, buffer: bytearray) -> bytes | None:
        """Take what belongs to the body out of the buffer; return the body when it is whole, else None.

        Raises:
            RefusedError: The chunks are none, or it grows too large.
        """
        if self._length is None:
            return bytes(self._read) if self._takes_chunks(buffer) else None
        if len(buffer) < self._length:
            return None
        body = bytes(buffer[: self._length])
        del buffer[: self._length]
        return body

    def _takes_chunks(self, buffer: bytearray) -> bool:
        while not self._is_past_data:
            if not self._takes_chunk(buffer):
                return False
        return _takes_trailers(buffer)

    def _takes_chunk(self, buffer: bytearray) -> bool:
        end = _line_end(buffer)
        if end is None:
            return False
        size = _chunk_size(bytes(buffer[:end]))
        if len(self._read) + size > _MOST_BODY:
            raise RefusedError(413)
        data = end + 2
        whole = data + size + 2 if size else data
        if len(buffer) < whole:
            return False
        if size and not buffer.startswith(b"\r\n", whole - 2):
            raise RefusedError(400)
        self._is_past_data = not size
        self._read += buffer[data : data + size]
        del buffer[:whole]
        return True


def body_of(framing: Mapping[bytes, bytes]) -> Body:
    """Return the body that headers announce; names and values in lower case.

    Raises:
        RefusedError: They contradict each other, are no numbers, or announce too much.
    """
    length = framing.get(b"content-length")
    coding = framing.get(b"transfer-encoding")
    if coding is not None:
        if coding != b"chunked":
            raise RefusedError(501)
        if length is not None:
            raise RefusedError(400)
        return Body(None)
    return Body(_whole_length(length or b"0"))


def _takes_trailers(buffer: bytearray) -> bool:
    # Nobody reads them; an empty line ends them.
    while (end := _line_end(buffer)) is not None:
        del buffer[: end + 2]
        if end == 0:
            return True
    return False


def _line_end(buffer: bytearray) -> int | None:
    end = buffer.find(b"\r\n", 0, _MOST_LINE)
    if end < 0 and len(buffer) >= _MOST_LINE:
        raise RefusedError(400)
    return None if end < 0 else end


def _chunk_size(line: bytes) -> int:
    found = _SIZE.fullmatch(line)
    if found is None:
        raise RefusedError(400)
    return int(found[1], 16)


def _whole_length(length: bytes) -> int:
    if not length.isdigit():
        raise RefusedError(400)
    # Python itself refuses to read a number of more than 4,300 digits.
    if len(length) > 18 or int(length) > _MOST_BODY:
        raise RefusedError(413)
    return int(length)
