"""The network engine behind the httpx transport seam: httpx requests in, httpx responses out, aiohttp on the wire.

Everything between the two is ours, because every part of it is paid on every call: heads are joined bytes, idle
connections a deque, and no task is made. httpcore's pool is not used: after cancellations it is dead for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import operator
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING

import aiohttp
import httpx
from aiohttp.streams import EMPTY_PAYLOAD
from typing_extensions import override

from loomwire.domain.policies import TransportPolicy
from loomwire.infrastructure.transport.addresses import Origin
from loomwire.infrastructure.transport.connections import Dialer, Link, Resolver
from loomwire.infrastructure.transport.failures import Failed

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.http import RawResponseMessage

_READ_BUFFER = 64 * 1024
_MAX_INTERIM = 16
_JOIN_BELOW = 64 * 1024
_CLOSING_S = 1.0

# aiohttp's reader raises as soon as the connection breaks and keeps what it has; no public method gives that out.
_buffered: Callable[[aiohttp.StreamReader], Iterable[bytes]] = operator.attrgetter("_buffer")


class RequestBody(httpx.AsyncByteStream):
    """A request body that is all there.

    Attributes:
        data: The bytes.
    """

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        """Keep the bytes."""
        self.data = data

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.data


class _Outgoing:
    """What goes over the wire for one request. Its repr shows nothing."""

    __slots__ = ("body", "head", "no_body")

    def __init__(self, head: bytes, body: bytes, *, no_body: bool) -> None:
        """Hold the bytes; `no_body` says that the answer has none."""
        self.head = head
        self.body = body
        self.no_body = no_body


class ResponseBody(httpx.AsyncByteStream):
    """The bytes of one answer as they come. The connection goes back when the last one was read."""

    __slots__ = ("_end", "_engine", "_link", "_payload", "_until_close")

    def __init__(
        self, engine: AiohttpTransport, link: Link, payload: aiohttp.StreamReader, *, until_close: bool
    ) -> None:
        """Read `payload`; `until_close` says that only the connection's end ends the body."""
        self._engine = engine
        self._link: Link | None = link
        self._payload = payload
        self._until_close = until_close
        self._end: Exception = StopAsyncIteration()

    @override
    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Deliver what is there, or wait for more.

        Raises:
            Exception: aiohttp's and the system's own, after everything that came before it was delivered. The socket
                is closed then, as after a cancellation.
        """
        link = self._link
        if link is None:
            raise self._end
        try:
            data = await self._payload.readany()
            if self._payload.at_eof() and not (self._until_close and data):
                self._finish(link)
        except Exception as error:  # noqa: BLE001 - raised by the next call, after what came before it
            self._end = _cause(error, link)
            data = b"".join(_buffered(self._payload))
            self.close()
        except BaseException:
            self.close()
            raise
        if not data:
            raise self._end
        return data

    def close(self) -> None:
        """Give the connection back if the rest of the body is already here, else close its socket. Idempotent."""
        link, self._link = self._link, None
        if link is None:
            return
        if self._payload.is_eof() and self._payload.exception() is None and not self._until_close:
            self._payload.read_nowait()
            self._engine.give_back(link)
        else:
            self._engine.drop(link)

    @override
    async def aclose(self) -> None:
        self.close()

    def _finish(self, link: Link) -> None:
        if self._until_close:
            _check_end(link)
        self._link = None
        self._engine.give_back(link)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends requests to one origin on the loop that created it. Not safe from other threads, except for `idle`.

    Redirects, cookies, retries and automatic headers do not exist here, and timeouts only for connecting: everything
    else has its owner above. It raises aiohttp's and the system's exceptions; `failures` knows them all.

    Args:
        origin: Where every request goes, whatever its URL says.
        policy: How to talk to it.
        sending: Called before a request goes out, with whether its connection has carried one before.
        resolver: Replaces the system's name resolution.
        tls: Replaces the process-wide TLS context.
    """

    def __init__(
        self,
        origin: Origin,
        policy: TransportPolicy,
        sending: Callable[[bool], None],
        *,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Open nothing yet."""
        self._origin = origin
        self._policy = policy
        self._sending = sending
        self._loop = asyncio.get_running_loop()
        self._dialer = Dialer(origin, policy, resolver, tls)
        self._idle: deque[Link] = deque()
        # All open ones: an abandoned engine must keep even those in use from the collector, which would close them.
        self._links: set[Link] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._retired = False
        self._closed = False
        self._abandoned = False

    @property
    def idle(self) -> int:
        """Open connections that wait for work."""
        return len(self._idle)

    @property
    def connections(self) -> int:
        """All open connections."""
        return len(self._links)

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and wait for the response headers.

        Raises:
            Exception: aiohttp's, the system's and this room's own. The socket is closed then, as after a cancellation.
        """
        if not isinstance(request.stream, RequestBody):
            await request.aread()
        outgoing = self._outgoing(request)
        # A frame that waits can end in a traceback, so key and prompt are in none of its locals.
        del request
        link = self._warm() or await self._new_link()
        try:
            self._sending(link.used)
            self._send(link, outgoing)
            del outgoing
            message, payload = await _final_answer(link.protocol)
        except BaseException:
            self.drop(link)
            raise
        link.payload = payload
        until_close = not message.chunked and "Content-Length" not in message.headers and payload is not EMPTY_PAYLOAD
        return httpx.Response(
            message.code,
            headers=message.raw_headers,
            stream=ResponseBody(self, link, payload, until_close=until_close),
        )

    @override
    async def aclose(self) -> None:
        """Close every connection, those in use too, and wait until their sockets are closed. Idempotent."""
        if self._abandoned:
            return
        links = list(self._links)
        self._closed = True
        self.retire()
        for link in links:
            self.drop(link)
        closing = [link.closed for link in links if link.closed is not None]
        if closing:
            await asyncio.wait(closing, timeout=_CLOSING_S)
        await self._dialer.aclose()
        # Sockets that were aborted just before close in the loop's next turn.
        await asyncio.sleep(0)

    def retire(self) -> None:
        """Close the idle connections and keep none from now on. Never waits."""
        self._retired = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._idle:
            self.drop(self._idle.pop())

    def give_back(self, link: Link) -> None:
        """Keep a connection whose answer was read, or close it when it cannot be used again or is one too many."""
        link.payload = None
        if self._retired or len(self._idle) >= self._policy.pool.keepalive or not link.open:
            self.drop(link)
            return
        link.since = self._loop.time()
        self._idle.append(link)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._policy.pool.keepalive_expiry_s, self._sweep)

    def drop(self, link: Link) -> None:
        """Close a connection at once."""
        if not self._abandoned:
            self._links.discard(link)
            link.abort()

    def abandon(self) -> None:
        """Never touch a socket again: they are the parent process's."""
        self._abandoned = self._retired = True

    def _outgoing(self, request: httpx.Request) -> _Outgoing:
        stream = request.stream
        body = stream.data if isinstance(stream, RequestBody) else request.content
        return _Outgoing(self._head(request), body, no_body=request.method == "HEAD")

    def _send(self, link: Link, outgoing: _Outgoing) -> None:
        limits = self._policy.limits
        link.used = True
        link.protocol.allow(limits)
        link.protocol.set_response_params(
            skip_payload=outgoing.no_body,
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=_READ_BUFFER,
            max_line_size=limits.headers,
            max_field_size=limits.headers,
        )
        if len(outgoing.body) < _JOIN_BELOW:
            link.transport.write(outgoing.head + outgoing.body)
        else:
            link.transport.write(outgoing.head)
            link.transport.write(outgoing.body)

    async def _new_link(self) -> Link:
        link = await self._dialer.dial()
        if self._closed:
            link.abort()
            raise aiohttp.ServerDisconnectedError
        self._links.add(link)
        if link.closed is not None:
            link.closed.add_done_callback(functools.partial(self._lost, link))
        return link

    def _lost(self, link: Link, _: asyncio.Future[None]) -> None:
        self._links.discard(link)
        with contextlib.suppress(ValueError):
            self._idle.remove(link)

    def _warm(self) -> Link | None:
        oldest = self._loop.time() - self._policy.pool.keepalive_expiry_s
        while self._idle:
            link = self._idle.pop()
            if link.open and link.since >= oldest:
                return link
            self.drop(link)
        return None

    def _sweep(self) -> None:
        self._sweeper = None
        expiry = self._policy.pool.keepalive_expiry_s
        now = self._loop.time()
        while self._idle and (self._idle[0].since + expiry <= now or not self._idle[0].open):
            self.drop(self._idle.popleft())
        if self._idle:
            self._sweeper = self._loop.call_at(self._idle[0].since + expiry, self._sweep)

    def _head(self, request: httpx.Request) -> bytes:
        lines = [b"%b: %b" % line for line in request.headers.raw]
        target = request.url.raw_path
        if self._dialer.proxied and self._origin.scheme == "http":
            target = self._origin.endpoint.encode() + target
            if self._dialer.proxy_authorization:
                lines.append(b"Proxy-Authorization: %b" % self._dialer.proxy_authorization.encode())
        lines.insert(0, b"%b %b HTTP/1.1" % (request.method.encode("ascii"), target))
        head = b"\r\n".join(lines)
        # One line too many would be a header, or a request, that nobody asked for.
        if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1 or b"\0" in head:
            raise Failed("protocol", "a request header has a control character", opening=True)
        return head + b"\r\n\r\n"


async def _final_answer(protocol: ResponseHandler) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
    for _ in range(_MAX_INTERIM):
        message, payload = await protocol.read()
        if message.code >= 200:
            return message, payload
        if message.code == 101:
            raise Failed("protocol", "the server changes the protocol")
    raise Failed("protocol", f"the server sent {_MAX_INTERIM} interim answers and no final one")


def _check_end(link: Link) -> None:
    # A reset, and our own closing, look like the end of a body that has no other end.
    error = link.protocol.excess or link.protocol.exception()
    if isinstance(error, OSError | Failed):
        raise error
    if link.aborted:
        raise aiohttp.ServerDisconnectedError


def _cause(error: Exception, link: Link) -> Exception:
    if link.protocol.excess is not None:
        return link.protocol.excess
    if not isinstance(error, aiohttp.ClientPayloadError):
        return error
    # aiohttp says "not completed" for every early end; only the protocol knows whether the connection broke.
    broken = link.protocol.exception()
    if isinstance(broken, OSError):
        return broken
    return Failed("eof", "the server closed the connection in the middle of the body")
