"""The one table from what libraries raise to the reasons of the fault table. Nothing of a cause is kept."""

from __future__ import annotations

import errno
import socket
import ssl
import zlib
from collections.abc import Mapping

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError

from loomwire.domain.errors import ConfigError, LLMError, LoomError, llm_error
from loomwire.domain.faults import ErrorCategory
from loomwire.domain.reports.context import Phase
from loomwire.infrastructure.transport.addresses import PRIVATE_HINT


class Failed(Exception):  # noqa: N818 - never leaves this room
    """A fault that the transport found itself.

    Attributes:
        reason: A reason of the fault table.
        message: What happened, without anything the server sent.
        opening: It happened before the connection was open.
    """

    def __init__(self, reason: str, message: str, *, opening: bool = False) -> None:
        """Name the fault."""
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.opening = opening


class Place:
    """What the errors of one station need to know.

    Attributes:
        endpoint: Scheme, host and port.
        closed: We closed it, so a broken connection is no fault of the server.
    """

    __slots__ = ("closed", "endpoint")

    def __init__(self, endpoint: str) -> None:
        """Be open."""
        self.endpoint = endpoint
        self.closed = False

    def fault(self, error: Exception, phase: Phase) -> LoomError | None:
        """Return what `failure` returns, but reason closed for a connection that we broke ourselves; not raised."""
        made = failure(error, self.endpoint, phase)
        if self.closed and isinstance(made, LLMError) and made.category is ErrorCategory.NETWORK:
            return self.left(phase)
        return made

    def left(self, phase: Phase) -> LLMError:
        """Return the error for a place that was closed; not raised."""
        return llm_error("closed", "the connection pool was closed", endpoint=self.endpoint, phase=phase)


class PrivatePeer(Exception):  # noqa: N818 - never leaves this room
    """The name leads to an address that is not public, and the policy wants it to be."""


# The first row that fits decides, so the special stand before the general.
ROWS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "dns"),
    (aiohttp.ClientConnectorCertificateError, "tls_certificate"),
    (aiohttp.ServerFingerprintMismatch, "tls_certificate"),
    (aiohttp.ClientConnectorSSLError, "tls"),
    (aiohttp.ClientSSLError, "tls"),
    (aiohttp.ConnectionTimeoutError, "connect"),
    (aiohttp.ServerTimeoutError, "idle"),
    (aiohttp.ServerDisconnectedError, "eof"),
    (aiohttp.ClientConnectorError, "refused"),
    (aiohttp.ClientConnectionError, "reset"),
    (aiohttp.ClientPayloadError, "eof"),
    (aiohttp.ClientHttpProxyError, "refused"),
    (aiohttp.ClientResponseError, "protocol"),
    (aiohttp.ClientError, "protocol"),
    (HttpProcessingError, "protocol"),
    (ssl.SSLCertVerificationError, "tls_certificate"),
    (ssl.SSLError, "tls"),
    (socket.gaierror, "dns"),
    (ConnectionRefusedError, "refused"),
    (OSError, "reset"),
    (zlib.error, "protocol"),
    (httpx.ConnectTimeout, "connect"),
    (httpx.PoolTimeout, "queue"),
    (httpx.TimeoutException, "idle"),
    (httpx.ConnectError, "refused"),
    (httpx.ProxyError, "refused"),
    (httpx.NetworkError, "reset"),
    (httpx.HTTPError, "protocol"),
    (httpx.InvalidURL, "protocol"),
    (httpx.StreamError, "protocol"),
)

# Too few sockets, ports or buffers are ours, not the server's: another target may do, this one is not sick.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})

_OPENING = (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, httpx.ConnectError, httpx.ConnectTimeout)

WORDS: Mapping[str, str] = {
    "dns": "the host name did not resolve",
    "refused": "nothing accepted the connection",
    "reset": "the connection broke",
    "tls": "the TLS handshake or record broke",
    "tls_certificate": "the server's certificate is not trusted",
    "eof": "the server closed the connection too early",
    "connect": "connecting took too long",
    "idle": "nothing came for too long",
    "protocol": "the answer is not proper HTTP",
    "queue": "this process is short of sockets or connections",
}


def reason_of(error: BaseException) -> str | None:
    """Return the reason of a library's exception, or None for one that is no transport fault."""
    if isinstance(error, aiohttp.ClientOSError) and error.errno in _OURS:
        return "queue"
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, TimeoutError):
            return "connect"
        if isinstance(error.os_error, ConnectionError) and not isinstance(error.os_error, ConnectionRefusedError):
            return "reset"
    return next((reason for kind, reason in ROWS if isinstance(error, kind)), None)


def failure(error: Exception, endpoint: str, phase: Phase) -> LoomError | None:
    """Turn an exception into the error that callers see.

    Args:
        error: What was raised; it is not kept.
        endpoint: Scheme, host and port.
        phase: How far the request was; opening errors are told apart by themselves.

    Returns:
        The error, not raised, or None when `error` is no transport fault but a defect that must stay visible.
    """
    if isinstance(error, PrivatePeer):
        return ConfigError(
            f"{endpoint} leads to an address that is not public",
            reason="out_of_range",
            endpoint=endpoint,
            phase="connect",
            hint=PRIVATE_HINT,
        )
    if isinstance(error, Failed):
        where: Phase = "connect" if error.opening else phase
        return llm_error(error.reason, f"{endpoint}: {error.message}", endpoint=endpoint, phase=where)
    reason = reason_of(error)
    if reason is None:
        return None
    where = "connect" if isinstance(error, _OPENING) else phase
    return llm_error(reason, f"{endpoint}: {WORDS[reason]}", endpoint=endpoint, phase=where)
