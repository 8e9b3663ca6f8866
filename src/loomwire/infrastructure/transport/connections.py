"""Opening connections to one origin with aiohttp's connector, and what is known of an open one."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import socket
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias
from urllib.parse import unquote

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDict
from typing_extensions import override
from yarl import URL

from loomwire.domain.policies import MIB, TransportPolicy, WireLimits
from loomwire.infrastructure.transport.addresses import Origin, environment_proxy
from loomwire.infrastructure.transport.failures import Failed, PrivatePeer
from loomwire.infrastructure.transport.public import is_public

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to IP addresses. Raises OSError (such as `socket.gaierror`) when the name is unknown."""

_NO_TIMEOUT = aiohttp.ClientTimeout()
_PROBE_AFTER_S = 60


class AnswerParser(ResponseHandler):
    """aiohttp's parser for answers, with an end to what one answer may take from the wire.

    Attributes:
        excess: What to raise once the answer took too much.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take anything until `allow` is called."""
        super().__init__(loop)
        self.excess: Failed | None = None
        self._left = math.inf

    def allow(self, limits: WireLimits) -> None:
        """Give the next answer room for what its limits allow and as much again for the framing."""
        self._left = 2 * max(limits.body, limits.stream) + MIB

    @override
    def data_received(self, data: bytes) -> None:
        # Chunk extensions are in no body, so nobody else counts them.
        self._left -= len(data)
        if self._left >= 0:
            super().data_received(data)
        elif self.transport is not None and self.excess is None:
            self.excess = Failed("too_large", "the answer has much more framing than content")
            self.set_exception(self.excess)
            self.transport.abort()


class Link:
    """One open connection. Belongs to the loop that opened it.

    Attributes:
        protocol: aiohttp's parser for the answers.
        transport: The socket's transport.
        payload: The body that is being read, or None between two answers.
        used: It has carried a request before.
        since: The loop's time at which it became idle.
        closed: Done when the socket is closed.
        aborted: We closed it.
    """

    __slots__ = ("aborted", "closed", "payload", "protocol", "since", "transport", "used")

    def __init__(self, protocol: AnswerParser, transport: asyncio.Transport) -> None:
        """Watch for the connection's end."""
        self.protocol = protocol
        self.transport = transport
        self.payload: aiohttp.StreamReader | None = None
        self.used = False
        self.since = 0.0
        self.aborted = False
        self.closed = protocol.closed
        if self.closed is not None:
            self.closed.add_done_callback(self._lost)

    @property
    def open(self) -> bool:
        """Whether it can carry another request: nothing pending in either direction, and nobody closed it."""
        return (
            self.protocol.is_connected()
            and not self.protocol.should_close
            and not self.transport.get_write_buffer_size()
        )

    def abort(self) -> None:
        """Close the socket at once, without flushing or a TLS farewell. Idempotent."""
        self.aborted = True
        self.transport.abort()

    def _lost(self, closed: asyncio.Future[None]) -> None:
        # aiohttp 3.14 tells a waiting reader nothing when the body breaks the protocol (a bad chunk size): it would
        # wait until the attempt ends.
        closed.exception()
        payload = self.payload
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(self.protocol.exception() or aiohttp.ServerDisconnectedError())


def _new_parser(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return AnswerParser(loop)


class _Opener(aiohttp.TCPConnector):
    """aiohttp's connector without its pool: names, addresses, TLS and proxies."""

    async def open(self, target: aiohttp.ClientRequest) -> AnswerParser:
        """Return a new connection that no pool knows."""
        self._factory = functools.partial(_new_parser, loop=self._loop)
        # `connect()` wraps the protocol in a Connection that, collected in a forked child, unregisters the parent's
        # socket from the poll set they share. The step below it does not.
        protocol = await self._create_connection(target, [], _NO_TIMEOUT)
        if not isinstance(protocol, AnswerParser):
            raise TypeError("aiohttp made another protocol than it was told to")
        return protocol


class Dialer:
    """Opens connections to one origin on the running loop.

    Args:
        origin: Where to.
        policy: `pool.trust_env`, `allow_private`, `connect_s` and `limits.headers` hold.
        resolver: Replaces the system's name resolution.
        tls: Replaces aiohttp's process-wide context, which trusts what the system trusts.
    """

    def __init__(
        self,
        origin: Origin,
        policy: TransportPolicy,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Open nothing yet. Reads the environment only when the policy trusts it."""
        self._origin = origin
        self._policy = policy
        proxy = environment_proxy(origin) if policy.pool.trust_env else None
        # The connector's own limit and pool stay unused: lines and idle connections are counted by us.
        self._public_only = not policy.allow_private and proxy is None
        self._opener = _Opener(
            limit=0,
            resolver=CheckedResolver(resolver or system_resolver, public_only=self._public_only),
            ssl=True if tls is None else tls,
        )
        self.proxy_authorization: str | None = None
        self.proxied = proxy is not None
        self._target = self._target_of(proxy)

    async def dial(self) -> Link:
        """Open a connection, TLS included.

        Raises:
            Failed: It took longer than `policy.connect_s` (connect).
            PrivatePeer: The peer is not public, and the policy wants it to be.
            Exception: aiohttp's and the system's own.
        """
        try:
            async with asyncio.timeout(self._policy.connect_s):
                protocol = await self._opened()
        except TimeoutError:
            raise Failed("connect", f"connecting took longer than {self._policy.connect_s:g} s", opening=True) from None
        transport = protocol.transport
        if transport is None:
            raise aiohttp.ServerDisconnectedError
        if self._public_only and not _is_public_peer(transport):
            transport.abort()
            raise PrivatePeer
        _keep_alive(transport)
        return Link(protocol, transport)

    async def aclose(self) -> None:
        """End name lookups that are under way. Idempotent; the connections are their owner's."""
        await self._opener.close()

    async def _opened(self) -> AnswerParser:
        task = asyncio.current_task()
        before = 0 if task is None else task.cancelling()
        try:
            return await self._opener.open(self._target)
        except asyncio.CancelledError:
            # A lookup that `aclose` ends cancels whoever waits for it, though nobody cancelled the waiter.
            if task is None or task.cancelling() > before or not self._opener.closed:
                raise
        raise aiohttp.ServerDisconnectedError

    def _target_of(self, proxy: str | None) -> aiohttp.ClientRequest:
        loop = asyncio.get_running_loop()
        url = URL(self._origin.endpoint)
        if proxy is None:
            return aiohttp.ClientRequest("POST", url, loop=loop)
        via = URL(proxy)
        headers: CIMultiDict[str] = CIMultiDict()
        if via.user is not None:
            pair = f"{unquote(via.raw_user or '')}:{unquote(via.raw_password or '')}"
            authorization = f"Basic {b64encode(pair.encode()).decode()}"
            if self._origin.scheme == "https":
                headers["Proxy-Authorization"] = authorization
            else:
                self.proxy_authorization = authorization
        return aiohttp.ClientRequest("POST", url, loop=loop, proxy=via.with_user(None), proxy_headers=headers)


class CheckedResolver(AbstractResolver):
    """Lets only addresses through that the policy allows, so that a name cannot be bent to an inner one.

    Args:
        resolver: Knows the addresses.
        public_only: Drop those that are not public, and raise `PrivatePeer` when no other is left.
    """

    def __init__(self, resolver: Resolver, *, public_only: bool) -> None:
        """Resolve nothing yet."""
        self._resolver = resolver
        self._public_only = public_only

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = list(dict.fromkeys(await self._resolver(host, port)))
        allowed = [each for each in addresses if not self._public_only or is_public(each)]
        if addresses and not allowed:
            raise PrivatePeer
        if not allowed:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in allowed
        ]

    @override
    async def close(self) -> None:
        return


async def system_resolver(host: str, port: int) -> list[str]:
    """Ask the system, on a thread of the loop's executor."""
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in infos]


def _is_public_peer(transport: asyncio.Transport) -> bool:
    # The resolver was checked already; this is what really answered.
    peer: tuple[str, int] | None = transport.get_extra_info("peername")
    return peer is not None and is_public(peer[0])


def _keep_alive(transport: asyncio.Transport) -> None:
    # Models think for minutes; without probes a NAT on the way forgets the connection, and the answer is lost.
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is None:
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER_S)
