"""The port for connections: leases, requests and answers as bytes. No HTTP library's type appears here."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, Protocol, TypeAlias

from typing_extensions import override

from loomwire.domain.policies import TransportPolicy
from loomwire.domain.requests import Bound

Place: TypeAlias = tuple[str, TransportPolicy]
"""A base URL, and how to talk to it: what `acquire` takes."""


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One HTTP request to the origin of a lease. Its repr shows neither key nor prompt, and it is never pickled.

    Attributes:
        path: Path and query below the lease's base URL, such as `/chat/completions`.
        headers: Header names and values, the key among them; built once per client.
        body: The encoded body.
        idle_s: Seconds of silence allowed between two reads of the answer; None for no limit (plain answers).
        bound: The instant at which the attempt ends; None for no limit.
        method: The HTTP method.
    """

    path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    idle_s: float | None = None
    bound: Bound | None = None
    method: str = "POST"

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError("a WireRequest holds the key and is never pickled")


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a pool did and holds, over all origins and event loops.

    Attributes:
        total: Requests sent.
        successful: Requests that got response headers.
        reused: Requests sent on a connection that had carried one before.
        opened: Connections opened.
        active: Leases that are out.
        idle: Open connections that wait for work.
        waiting: Calls that wait for a lease.
    """

    total: int = 0
    successful: int = 0
    reused: int = 0
    opened: int = 0
    active: int = 0
    idle: int = 0
    waiting: int = 0

    @property
    def reuse_rate(self) -> float:
        """Share of requests on a reused connection, 0 to 1; 0 without requests."""
        return self.reused / self.total if self.total else 0.0


class WireAnswer(Protocol):
    """The answer to one request. The caps of the lease's policy hold for everything read from it."""

    __slots__ = ()

    @property
    @abstractmethod
    def status(self) -> int:
        """The HTTP status."""

    @property
    @abstractmethod
    def headers(self) -> Mapping[str, str]:
        """Response headers, names in lower case, repeated ones joined by a comma."""

    @abstractmethod
    async def read(self) -> bytes:
        """Return the whole decompressed body; of an error status only the first `limits.error_body` bytes.

        Raises:
            LLMError: reasons reset, eof, attempt, deadline, protocol, too_large, closed.
        """

    @abstractmethod
    def chunks(self) -> AsyncIterator[bytes]:
        """Deliver the decompressed body as it comes, never waiting for more than is there.

        Raises:
            LLMError: as `read`, and idle.
        """

    @abstractmethod
    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it. Never waits, idempotent."""


class ConnectionLease(Protocol):
    """The right to send one request at a time to one origin, until it is released."""

    __slots__ = ()

    @property
    @abstractmethod
    def base_url(self) -> str:
        """What was asked for."""

    @abstractmethod
    async def send(self, request: WireRequest) -> WireAnswer:
        """Send a request and wait for the response headers. Redirects are not followed.

        Raises:
            LLMError: reasons dns, refused, reset, tls, tls_certificate, eof, connect, attempt, deadline, protocol,
                too_large, request_too_large, closed. Cancelling closes the connection and leaks nothing.
            ConfigError: The host's name leads to an address that is not allowed, or a header is not.
        """


class IConnectionPool(Protocol):
    """Lends connections per base URL and event loop. Safe for several loops, threads and after a fork."""

    @abstractmethod
    async def acquire(
        self, base_url: str, policy: TransportPolicy = TransportPolicy(), bound: Bound | None = None
    ) -> ConnectionLease:
        """Wait in line for a lease.

        Args:
            base_url: http or https, a host, and a path; no user info, query or fragment.
            policy: How to talk to the origin; equal policies share connections.
            bound: The instant at which the attempt ends.

        Raises:
            LLMTimeoutError: reason queue (after `policy.queue_s`), or the bound's reason.
            ConfigError: The base URL is not allowed.
        """

    @abstractmethod
    def release(self, lease: ConnectionLease) -> None:
        """Give a lease back. Never waits; releasing twice does nothing."""

    @abstractmethod
    def get_stats(self) -> PoolStats:
        """Return the statistics so far. Safe from any thread."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections of the running loop and mark the others to be closed with theirs. Idempotent."""

    def close_unused(self, gone: Collection[Place], used: Collection[Place]) -> None:  # noqa: ARG002
        """Close the connections of places that nobody will ask for any more; does nothing unless overridden.

        Returns at once, from any thread: each event loop closes its own. Leases that are out go on undisturbed, and
        their connections close when they come back. A place that is asked for again is opened anew.

        Args:
            gone: The places.
            used: Places whose connections stay, also where an origin is among both.
        """
        return None  # noqa: RET501  # a pool that keeps them all is a pool
