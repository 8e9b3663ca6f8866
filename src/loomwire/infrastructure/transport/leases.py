"""Leases, and the places they are for: one base URL under one policy on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import warnings
from collections.abc import Callable

import httpx
from typing_extensions import override

from loomwire.domain.errors import ConfigError, llm_error
from loomwire.domain.policies import TransportPolicy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import ConnectionLease, WireRequest
from loomwire.domain.requests import Bound
from loomwire.infrastructure.transport.addresses import Origin
from loomwire.infrastructure.transport.answer import HTTPAnswer, close_body
from loomwire.infrastructure.transport.engine import AiohttpTransport, RequestBody
from loomwire.infrastructure.transport.failures import Failed, Place
from loomwire.infrastructure.transport.waiting import Alarm, Permits

_KEPT_FORMS = 64
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FIELD_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})


class Tally:
    """What a pool has done so far, counted from every loop and thread.

    Attributes:
        total: Requests sent.
        successful: Requests that got response headers.
        reused: Requests sent on a connection that had carried one before.
        opened: Connections opened.
    """

    __slots__ = ("_lock", "opened", "reused", "successful", "total")

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self.total = 0
        self.successful = 0
        self.reused = 0
        self.opened = 0

    def sent(self) -> None:
        """Count a request."""
        with self._lock:
            self.total += 1

    def answered(self) -> None:
        """Count response headers."""
        with self._lock:
            self.successful += 1

    def carried(self, used: bool) -> None:  # noqa: FBT001 - the engine's callback
        """Count a connection that takes a request; `used` says that it is not its first."""
        with self._lock:
            self.reused += used
            self.opened += not used


class Station:
    """One origin under one policy on one event loop: the engine, and the line in front of it.

    Attributes:
        place: For errors.
        policy: How to talk to it.
        transport: The engine, or what the host put in its place.
        loop: The loop it belongs to.
        permits: Who may send.
        tally: Where requests are counted.
        gone: It is closed, or was left behind by a fork.
    """

    __slots__ = ("_clock", "gone", "loop", "permits", "place", "policy", "tally", "transport")

    def __init__(
        self,
        origin: Origin,
        policy: TransportPolicy,
        transport: httpx.AsyncBaseTransport,
        tally: Tally,
        clock: IClock | None = None,
    ) -> None:
        """Belong to the running loop; bounds are instants of `clock`, or of the loop when there is none."""
        self.place = Place(origin.endpoint)
        self._clock = clock
        self.policy = policy
        self.transport = transport
        self.loop = asyncio.get_running_loop()
        self.permits = Permits(self.loop, policy.pool.max_connections)
        self.tally = tally
        self.gone = False

    @property
    def endpoint(self) -> str:
        """Scheme, host and port, for errors."""
        return self.place.endpoint

    @property
    def unused(self) -> bool:
        """Whether it can be forgotten: nobody has or waits for a lease, and no connection is open."""
        quiet = not self.permits.out and not self.permits.waiting
        return quiet and isinstance(self.transport, AiohttpTransport) and not self.transport.connections

    def local(self, bound: Bound | None) -> Bound | None:
        """Return a bound as an instant of the loop's own time, which need not be the clock's."""
        if bound is None or self._clock is None:
            return bound
        return Bound(self.loop.time() + (bound.at - self._clock.now()), bound.reason)


class Site:
    """One base URL of a station. Knows the heads of the requests that go there.

    Attributes:
        base_url: What was asked for.
        station: Whom it belongs to.
    """

    __slots__ = ("_forms", "_normal", "base_url", "station")

    def __init__(self, base_url: str, normal: str, station: Station) -> None:
        """Know no request yet; `normal` is the base URL without a final slash."""
        self.base_url = base_url
        self.station = station
        self._normal = normal
        self._forms: dict[tuple[str, str, tuple[tuple[str, str], ...]], _Form] = {}

    def request(self, request: WireRequest) -> httpx.Request:
        """Return the request as httpx knows it; URL and headers are prepared once.

        Raises:
            ConfigError: The path leads elsewhere, or a header is not allowed. The message never holds a value.
        """
        form = self._forms.get(_form_key(request)) or self._new_form(request)
        return form.filled(request.body)

    def _new_form(self, request: WireRequest) -> _Form:
        # Returned and raised here, because the frames below hold the values, and tracebacks keep frames.
        fault = next(filter(None, map(_header_fault, request.headers)), None)
        if fault is not None:
            raise fault
        if len(self._forms) >= _KEPT_FORMS:
            self._forms.clear()
        form = _Form(request.method, self._url(request.path), request.headers)
        self._forms[_form_key(request)] = form
        return form

    def _url(self, path: str) -> httpx.URL:
        base = httpx.URL(self._normal)
        try:
            url = httpx.URL(self._normal + (path if path.startswith("/") else f"/{path}"))
        except httpx.InvalidURL:
            raise ConfigError("the request's path is no path", reason="out_of_range") from None
        if (url.scheme, url.netloc, url.userinfo) != (base.scheme, base.netloc, base.userinfo) or url.fragment:
            raise ConfigError("the request's path leads to another place", reason="out_of_range")
        return url


class _Form:
    """A request without its body."""

    __slots__ = ("_headers", "_method", "_url")

    def __init__(self, method: str, url: httpx.URL, headers: tuple[tuple[str, str], ...]) -> None:
        self._method = method
        self._url = url
        lines = [(b"Host", url.netloc)]
        if not any(name.lower() == "accept-encoding" for name, _ in headers):
            lines.append((b"Accept-Encoding", b"gzip, identity"))
        lines += [(name.encode("ascii"), value.encode("utf-8")) for name, value in headers]
        self._headers = httpx.Headers(lines)

    def filled(self, body: bytes) -> httpx.Request:
        """Return the request with a body."""
        request = httpx.Request(self._method, self._url, headers=self._headers, stream=RequestBody(body))
        if body or self._method not in ("GET", "HEAD"):
            request.headers["Content-Length"] = str(len(body))
        return request


def _form_key(request: WireRequest) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return request.method, request.path, request.headers


def _header_fault(header: tuple[str, str]) -> ConfigError | None:
    name, value = header
    if not _TOKEN.fullmatch(name) or name.lower() in _OURS:
        return ConfigError(f"the header {name[:40]!r} cannot be set", reason="out_of_range")
    if not _FIELD_VALUE.fullmatch(value):
        return ConfigError(
            f"the value of the header {name} has a control character",
            reason="out_of_range",
            hint="Look for a line break at the end of the key.",
        )
    return None


class Lease(ConnectionLease):
    """A permit of a station, for one request at a time."""

    __slots__ = ("_answer", "_released", "_site")

    def __init__(self, site: Site) -> None:
        """Hold a permit that was taken already."""
        self._site = site
        self._answer: HTTPAnswer | None = None
        self._released = False

    def __del__(self, _warn: Callable[[str, type[Warning]], None] = warnings.warn) -> None:
        """Give back what was forgotten, from whatever thread the collector runs on."""
        station = self._site.station
        if self._released or station.gone or station.loop.is_closed():
            return
        self._released = True
        with contextlib.suppress(RuntimeError):  # the loop closed first
            station.loop.call_soon_threadsafe(_forget, station, self._answer)
        _warn(f"a lease for {station.endpoint} was never released", ResourceWarning)

    @property
    @override
    def base_url(self) -> str:
        return self._site.base_url

    @override
    async def send(self, request: WireRequest) -> HTTPAnswer:
        station = self._site.station
        self._check(request)
        # No local holds the request as httpx knows it: tracebacks keep frames, and some tools show what is in them.
        step = station.transport.handle_async_request(self._site.request(request))
        station.tally.sent()
        alarm = Alarm(station.loop, station.local(request.bound))
        try:
            response = await alarm.wait(step)
            station.tally.answered()
            alarm.limit_silence(request.idle_s)
            self._answer = _answer(response, station, alarm)
            return self._answer
        except Exception as error:
            alarm.stop()
            failed = station.place.fault(error, "headers")
            if failed is None:
                raise
        except BaseException:
            alarm.stop()
            raise
        raise failed

    def release(self) -> None:
        """Give the permit back, and close an answer that was left open. Idempotent."""
        if self._released:
            return
        self._released = True
        if self._answer is not None:
            self._answer.close()
            self._answer = None
        if not self._site.station.gone:
            self._site.station.permits.give_back()

    def _check(self, request: WireRequest) -> None:
        station = self._site.station
        if station.place.closed:
            raise station.place.left("connect")
        if self._released or station.gone:
            raise llm_error("reset", "the lease is over", endpoint=station.endpoint, phase="connect")
        if self._answer is not None:
            self._answer.close()
        cap = station.policy.limits.request
        if len(request.body) > cap:
            message = f"the request body has {len(request.body)} bytes, more than {cap} (limits.request)"
            raise llm_error("request_too_large", message, endpoint=station.endpoint, phase="connect")


def _forget(station: Station, answer: HTTPAnswer | None) -> None:
    if answer is not None:
        answer.close()
    station.permits.give_back()


def _answer(response: httpx.Response, station: Station, alarm: Alarm) -> HTTPAnswer:
    try:
        return HTTPAnswer(response, station.policy.limits, alarm, station.place)
    except Failed:
        if isinstance(response.stream, httpx.AsyncByteStream):
            close_body(response.stream)
        raise
