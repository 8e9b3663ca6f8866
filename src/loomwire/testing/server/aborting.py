"""The connection of a server that breaks in the TLS handshake."""

from __future__ import annotations

import asyncio
from typing import final

from typing_extensions import override

from loomwire.testing.server.ending import reset
from loomwire.testing.server.traffic import Traffic


@final
class Aborting(asyncio.Protocol):
    """A server that accepts, reads the client's hello, and resets the connection."""

    def __init__(self, traffic: Traffic) -> None:
        """Wait for a connection."""
        self._traffic = traffic
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport if isinstance(transport, asyncio.Transport) else None
        self._traffic.opened(self)

    @override
    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            reset(self._transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._traffic.closed(self)

    def abort(self) -> None:
        """Break the connection."""
        if self._transport is not None:
            self._transport.abort()
