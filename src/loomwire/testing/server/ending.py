"""How a connection is broken."""

from __future__ import annotations

import asyncio
import socket
import struct
from asyncio.trsock import TransportSocket


def reset(transport: asyncio.Transport) -> None:
    """Break a connection at once, so that the other side sees a reset."""
    raw: TransportSocket = transport.get_extra_info("socket")
    # Linger for no time: the kernel then sends RST in place of FIN.
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
