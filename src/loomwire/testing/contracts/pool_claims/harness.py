"""What a suite must know of the pool it judges, and the exchange that its claims are made of."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import ClassVar

from loomwire.domain.policies import PoolPolicy, TransportPolicy, WireLimits
from loomwire.domain.ports.pool import ConnectionLease, IConnectionPool, WireRequest
from loomwire.domain.requests import Bound
from loomwire.testing.contracts.contract import Contract
from loomwire.testing.server.provider import FakeProvider
from loomwire.testing.wire import HttpReply

CANARY = "heliotrope-4711"
PATH = "/chat/completions"
HEADERS = (("content-type", "application/json"), ("authorization", f"Bearer {CANARY}"))
HELLO = HttpReply(200, b"hello", {"X-Greeting": "twice"})


class PoolHarness(Contract):
    """Makes the pool and says what it can do. The suite brings the server: a real one, on loopback.

    Attributes:
        counts_connections: `PoolStats` tells opened and reused connections.
        serves_loops: Several event loops may use one pool.
        verifies_certificates: It checks whom it talks to over TLS; the claim needs the extra `loomwire[testing]`.
    """

    port: ClassVar[str] = "loomwire.domain.ports.pool.IConnectionPool"
    counts_connections: ClassVar[bool] = True
    serves_loops: ClassVar[bool] = True
    verifies_certificates: ClassVar[bool] = True

    @abstractmethod
    def pool(self) -> IConnectionPool:
        """Return a fresh pool; the suite closes it."""
        raise self.unwritten("pool")

    @asynccontextmanager
    async def against(self, provider: FakeProvider) -> AsyncGenerator[IConnectionPool]:
        """Start a server and yield a fresh pool, closed at the end."""
        pool = self.pool()
        async with provider:
            try:
                yield pool
            finally:
                await pool.aclose()


def server(*replies: HttpReply) -> FakeProvider:
    """Return a server that says `hello` when the replies are used up."""
    return FakeProvider(*replies, then=HELLO)


def policy(most: int = 10, queue_s: float = 5.0, limits: WireLimits = WireLimits()) -> TransportPolicy:
    """Return a policy that lets loopback addresses through."""
    return TransportPolicy(pool=PoolPolicy(max_connections=most), queue_s=queue_s, allow_private=True, limits=limits)


def asking(body: bytes = b"{}", *, idle_s: float | None = None, bound: Bound | None = None) -> WireRequest:
    """Return a request that carries a key."""
    return WireRequest(PATH, HEADERS, body, idle_s=idle_s, bound=bound)


async def body_of(lease: ConnectionLease, request: WireRequest | None = None) -> bytes:
    """Send a request on a lease and return the whole body."""
    answer = await lease.send(request or asking())
    try:
        return await answer.read()
    finally:
        answer.close()


async def exchange(pool: IConnectionPool, base_url: str, how: TransportPolicy | None = None) -> bytes:
    """Lease, send, read and give back; return the body."""
    lease = await pool.acquire(base_url, how or policy())
    try:
        return await body_of(lease)
    finally:
        pool.release(lease)
