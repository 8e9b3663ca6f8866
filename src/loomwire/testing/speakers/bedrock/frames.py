"""Messages of ConverseStream, as the loopback server frames them."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from loomwire.testing.speakers.eventstream import message

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"

_TEXT: Final = 7


def framed(headers: Iterable[tuple[str, str]], payload: bytes) -> bytes:
    """Return one message with right lengths and checksums; header values are texts, as all of Bedrock's are."""
    pairs = ((name.encode(), value.encode()) for name, value in headers)
    head = b"".join(
        struct.pack(">B", len(name)) + name + struct.pack(">BH", _TEXT, len(value)) + value for name, value in pairs
    )
    return message(head, payload)


def event(kind: str, payload: bytes) -> bytes:
    """Return an event as Bedrock sends it."""
    return framed(((":event-type", kind), (":content-type", "application/json"), (":message-type", "event")), payload)


def exception(kind: str, payload: bytes) -> bytes:
    """Return a message that reports an error of the service's interface, such as `throttlingException`."""
    headers = ((":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception"))
    return framed(headers, payload)
