"""Closing a server without losing who is just being let in."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

_LETTING_IN: Final = 3
"""Turns of the loop in which asyncio makes a connection of a socket that it has accepted."""


async def stop_listening(*servers: asyncio.Server) -> None:
    """Let nobody in any more, wait until whoever was let in has a connection, and close the servers.

    asyncio accepts a socket in one turn of its loop and makes the connection in the next. When `Server.close` comes in
    between, CPython 3.11 drops the socket open, and nobody is told of it. The connections are the caller's to close.

    Args:
        servers: Of the running loop; those that are closed are left as they are.
    """
    loop = asyncio.get_running_loop()
    for listening in (each for server in servers for each in server.sockets):
        # A loop that knows no readers has its own way to accept.
        with suppress(NotImplementedError):
            loop.remove_reader(listening.fileno())
    try:
        for _ in range(_LETTING_IN):
            await asyncio.sleep(0)
    finally:
        for server in servers:
            server.close()
