"""Faults of what surrounds an answer: TLS, which belongs to a server, and names, which belong to the network."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from typing import Final, final

from loomwire.testing.faults.kinds import FaultType


@final
class FakeResolver:
    """Resolves host names as a test says, for `ConnectionPool(resolver=...)`.

    Args:
        hosts: Names and their addresses; any other name is unknown.
        delay_s: Seconds before every answer.

    Example:
        >>> resolver = FakeResolver({"llm.test": ["127.0.0.1"]})
        >>> asyncio.run(resolver("llm.test", 80))
        ('127.0.0.1',)
    """

    def __init__(self, hosts: Mapping[str, Sequence[str]] | None = None, *, delay_s: float = 0.0) -> None:
        """Know the hosts; ask nobody, ever."""
        self._hosts = dict(hosts or {})
        self._delay_s = delay_s

    async def __call__(self, host: str, _port: int, /) -> Sequence[str]:
        """Return the addresses of a host.

        Raises:
            socket.gaierror: The name is unknown.
        """
        await asyncio.sleep(self._delay_s)
        if host not in self._hosts:
            raise socket.gaierror(socket.EAI_NONAME, "the name is unknown")
        return tuple(self._hosts[host])


def _outside(name: str, says: str, setup: str) -> FaultType:
    return FaultType(name=name, says=says, strikes="connecting", setup=setup, ran=False)


OUTSIDE: Final = (
    _outside("tls_expired", "The server's certificate has expired.", 'Use FakeProvider(tls="expired").'),
    _outside("tls_wrong_host", "The server's certificate is for another host.", 'Use FakeProvider(tls="wrong_host").'),
    _outside("tls_aborted", "The connection breaks in the TLS handshake.", 'Use FakeProvider(tls="aborts").'),
    _outside("dns_unknown", "The host name does not resolve.", "Use ConnectionPool(resolver=FakeResolver())."),
    _outside("dns_slow", "The resolver takes its time.", "Use ConnectionPool(resolver=FakeResolver(delay_s=30))."),
    _outside("refused", "Nothing listens on the port.", "Use the port of a FakeProvider that was stopped."),
)
"""Rows of the fault table."""
