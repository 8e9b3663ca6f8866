"""The table of failures knows everything that aiohttp, httpx and the system raise, and keeps nothing of it."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import zlib
from collections.abc import Iterator

import aiohttp
import httpx
import pytest
from aiohttp import http_exceptions

from loomwire.domain.errors import ConfigError, LLMError
from loomwire.domain.faults import FAULTS
from loomwire.infrastructure.transport.failures import ROWS, WORDS, Failed, PrivatePeer, failure, reason_of

HERE = "https://api.example.com:443"


def descendants(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for child in kind.__subclasses__():
        yield from descendants(child)


def all_kinds() -> list[type[Exception]]:
    roots: list[type[Exception]] = [
        aiohttp.ClientError,
        http_exceptions.HttpProcessingError,
        httpx.HTTPError,
        httpx.InvalidURL,
        httpx.StreamError,
        ssl.SSLError,
        socket.gaierror,
        ConnectionError,
        zlib.error,
    ]
    known = {kind for root in roots for kind in descendants(root) if kind.__module__.split(".")[0] in LIBRARIES}
    return sorted(known, key=lambda kind: kind.__name__)


LIBRARIES = {"aiohttp", "httpx", "ssl", "socket", "builtins", "zlib"}


def bare(kind: type[Exception]) -> Exception:
    """An instance without what only the library can give."""
    error = kind.__new__(kind)
    if isinstance(error, aiohttp.ClientConnectorError):
        error._os_error = OSError()
    return error


def connector_error(cause: OSError) -> aiohttp.ClientConnectorError:
    error = aiohttp.ClientConnectorError.__new__(aiohttp.ClientConnectorError)
    error.errno, error._os_error = cause.errno, cause
    return error


@pytest.mark.parametrize("kind", all_kinds(), ids=lambda kind: str(kind.__name__))
def test_every_exception_of_the_libraries_has_a_reason(kind: type[Exception]) -> None:
    reason = reason_of(bare(kind))
    assert reason in WORDS
    assert reason in FAULTS


def test_the_list_above_is_not_empty() -> None:
    assert len(all_kinds()) > 60


def test_no_row_stands_behind_a_more_general_one() -> None:
    for number, (kind, _) in enumerate(ROWS):
        assert not any(issubclass(kind, earlier) for earlier, _ in ROWS[:number]), kind


def test_every_reason_of_the_table_has_words_and_a_fault() -> None:
    assert {reason for _, reason in ROWS} <= set(WORDS) <= set(FAULTS)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (connector_error(ConnectionRefusedError(errno.ECONNREFUSED, "x")), "refused"),
        (connector_error(OSError(errno.EHOSTUNREACH, "x")), "refused"),
        (connector_error(OSError(errno.ENETUNREACH, "x")), "refused"),
        (connector_error(OSError("several")), "refused"),
        (connector_error(TimeoutError(errno.ETIMEDOUT, "x")), "connect"),
        (connector_error(ConnectionResetError(errno.ECONNRESET, "x")), "reset"),
        (connector_error(ConnectionAbortedError("handshake")), "reset"),
        (connector_error(OSError(errno.EMFILE, "x")), "queue"),
        (connector_error(OSError(errno.EADDRNOTAVAIL, "x")), "queue"),
        (aiohttp.ClientOSError(errno.ECONNRESET, "x"), "reset"),
        (aiohttp.ClientOSError(errno.ETIMEDOUT, "x"), "reset"),
        (aiohttp.ClientConnectionResetError("closing"), "reset"),
        (aiohttp.ServerDisconnectedError(), "eof"),
        (ssl.SSLCertVerificationError("x"), "tls_certificate"),
        (ssl.SSLError("bad record"), "tls"),
        (httpx.ConnectTimeout("x"), "connect"),
        (httpx.ReadTimeout("x"), "idle"),
        (httpx.PoolTimeout("x"), "queue"),
        (httpx.ConnectError("x"), "refused"),
        (httpx.ReadError("x"), "reset"),
        (httpx.RemoteProtocolError("x"), "protocol"),
        (Failed("deadline", "x"), "deadline"),
    ],
    ids=repr,
)
def test_the_reason_is_the_one_of_the_fault_table(error: Exception, reason: str) -> None:
    seen = failure(error, HERE, "body")
    assert isinstance(seen, LLMError)
    assert (seen.reason, seen.endpoint) == (reason, HERE)
    assert (seen.__cause__, seen.__context__, seen.original_error) == (None, None, None)


def test_opening_errors_say_so_themselves() -> None:
    opening = (connector_error(OSError()), httpx.ConnectTimeout("x"), Failed("connect", "x", opening=True))
    assert {seen.phase for seen in (failure(each, HERE, "headers") for each in opening) if seen} == {"connect"}


def test_a_private_peer_is_the_configuration_s_fault() -> None:
    seen = failure(PrivatePeer(), HERE, "headers")
    assert isinstance(seen, ConfigError)
    assert (seen.reason, seen.phase) == ("out_of_range", "connect")


def test_nothing_a_library_says_gets_into_the_error() -> None:
    canary = "sk-canary"
    request = httpx.Request("POST", f"https://x/?key={canary}", headers={"authorization": canary})
    for error in (httpx.ReadError(canary, request=request), OSError(5, canary), aiohttp.ClientError(canary)):
        seen = failure(error, HERE, "body")
        assert seen is not None
        assert canary not in f"{seen} {seen!r} {seen.explain()} {seen.to_dict()} {vars(seen)}"


@pytest.mark.parametrize("error", [ValueError("x"), AssertionError("x"), RuntimeError("x"), KeyError("x")], ids=repr)
def test_a_defect_is_no_transport_failure(error: Exception) -> None:
    assert failure(error, HERE, "body") is None


def test_a_cancellation_is_no_transport_failure() -> None:
    assert reason_of(asyncio.CancelledError()) is None
