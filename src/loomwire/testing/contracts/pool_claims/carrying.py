"""Claims about requests, answers, errors and caps."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
from dataclasses import replace

from loomwire.domain.errors import LLMError
from loomwire.domain.policies import TransportPolicy, WireLimits
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.domain.requests import Bound
from loomwire.testing.contracts.client_claims.leaving import POINTS
from loomwire.testing.contracts.contract import cancelled_after, claim, expect, needs, raised, same
from loomwire.testing.contracts.pool_claims.harness import (
    CANARY,
    HELLO,
    PATH,
    PoolHarness,
    asking,
    body_of,
    exchange,
    policy,
    server,
)
from loomwire.testing.server.provider import FakeProvider
from loomwire.testing.wire import End, HttpReply, RawReply

_HEAD = b"HTTP/1.1 200 OK\r\n"
_BROKEN: tuple[tuple[RawReply, frozenset[str]], ...] = (
    (RawReply(End.CLOSE), frozenset({"eof", "reset"})),
    (RawReply(End.RESET), frozenset({"reset", "eof"})),
    (RawReply(_HEAD + b"content-length: 100\r\n\r\nhalf", End.CLOSE), frozenset({"eof", "reset"})),
    (RawReply(b"this is no HTTP\r\n\r\n", End.CLOSE), frozenset({"protocol"})),
)
_TIGHT = WireLimits(body=1000, stream=1000, error_body=100, request=1000)


class CarryingClaims(PoolHarness):
    """What goes over a lease, and what may go wrong."""

    @claim
    async def test_a_request_goes_out_and_an_answer_comes_back(self) -> None:
        """Method, path, headers and body arrive as given; status, lower-case header names and the body come back."""
        provider = server()
        async with self.against(provider) as pool:
            lease = await pool.acquire(provider.base_url, policy())
            answer = await lease.send(asking(b'{"model": "m"}'))
            same((answer.status, answer.headers["x-greeting"]), (200, "twice"), "(status, header)")
            same(await answer.read(), b"hello", "the body")
            answer.close()
            answer.close()
            await body_of(lease, replace(asking(), method="PUT"))
            pool.release(lease)
        seen, other = provider.requests
        same(other.method, "PUT", "the other method that arrived")
        same((seen.method, seen.path, seen.body), ("POST", f"/v1{PATH}", b'{"model": "m"}'), "what arrived")
        same(seen.headers["authorization"], f"Bearer {CANARY}", "the key that arrived")

    @claim
    async def test_repeated_headers_are_joined(self) -> None:
        """A header that comes more than once is one, its values joined by a comma."""
        provider = FakeProvider(then=RawReply(_HEAD + b"x-a: one\r\nX-A: two\r\ncontent-length: 0\r\n\r\n"))
        async with self.against(provider) as pool:
            lease = await pool.acquire(provider.base_url, policy())
            answer = await lease.send(asking())
            same(answer.headers.get("x-a", "").replace(" ", ""), "one,two", "the header")
            answer.close()
            pool.release(lease)

    @claim
    async def test_chunks_come_as_they_come(self) -> None:
        """`chunks` hands out what is there and never waits for more."""
        gate = asyncio.Event()
        provider = server(HttpReply(chunks=[b"one", gate, b"two"]))
        async with self.against(provider) as pool:
            lease = await pool.acquire(provider.base_url, policy())
            answer = await lease.send(asking())
            read = b""
            async for chunk in answer.chunks():
                read += chunk
                if read == b"one":
                    gate.set()
            same(read, b"onetwo", "the body")
            answer.close()
            pool.release(lease)

    @claim
    async def test_bodies_are_decompressed(self) -> None:
        """A compressed body comes back decompressed."""
        packed = HttpReply(200, gzip.compress(b"hello " * 100), {"content-encoding": "gzip"})
        provider = server(packed)
        async with self.against(provider) as pool:
            same(await exchange(pool, provider.base_url), b"hello " * 100, "the body")

    @claim
    async def test_redirects_are_not_followed(self) -> None:
        """A redirect is an answer like any other: nobody follows it."""
        provider = server(HttpReply(302, b"", {"location": f"/v1{PATH}"}))
        async with self.against(provider) as pool:
            lease = await pool.acquire(provider.base_url, policy())
            answer = await lease.send(asking())
            same(answer.status, 302, "the status")
            answer.close()
            pool.release(lease)
        same(provider.stats.requests, 1, "the number of requests that arrived")

    @claim
    async def test_what_breaks_is_an_llm_error_with_its_reason(self) -> None:
        """A broken connection or answer raises an LLMError with its own reason, which never shows the key."""
        for reply, reasons in _BROKEN:
            provider = FakeProvider(then=reply)
            async with self.against(provider) as pool:
                error = await raised(LLMError, exchange(pool, provider.base_url))
                expect(
                    error.reason in reasons, f"the reason is {error.reason!r} and not {' or '.join(sorted(reasons))}"
                )
                expect(CANARY not in f"{error} {error!r} {error.to_dict()}", "the error shows the key")
                same(pool.get_stats().active, 0, "active leases")

    @claim
    async def test_nobody_listening_and_no_tls_have_their_reasons(self) -> None:
        """A port where nobody listens gives reason `refused`, one that speaks no TLS gives `tls`."""
        async with self.against(server()) as pool, await asyncio.start_server(_speak_plainly, "127.0.0.1", 0) as plain:
            error = await raised(LLMError, exchange(pool, f"http://127.0.0.1:{_free_port()}/v1"))
            same(error.reason, "refused", "the reason")
            port = plain.sockets[0].getsockname()[1]
            error = await raised(LLMError, exchange(pool, f"https://127.0.0.1:{port}/v1"))
            same(error.reason, "tls", "the reason without TLS")

    @claim
    @needs("verifies_certificates")
    async def test_a_certificate_that_nobody_vouches_for_is_refused(self) -> None:
        """A server whose certificate nobody vouches for is told nothing; the reason is `tls_certificate`."""
        provider = FakeProvider(then=HELLO, tls=True)
        async with self.against(provider) as pool:
            error = await raised(LLMError, exchange(pool, provider.base_url))
            same(error.reason, "tls_certificate", "the reason")
        same(provider.stats.requests, 0, "the number of requests that arrived")

    @claim
    async def test_answers_are_capped(self) -> None:
        """The caps of the policy hold: too large bodies and requests are refused, an error's body is cut."""
        large = b"x" * 5000
        packed = HttpReply(200, gzip.compress(large), {"content-encoding": "gzip"})
        answers = {"plain": HttpReply(200, large), "chunked": HttpReply(chunks=[large]), "compressed": packed}
        provider = server(*answers.values(), *answers.values(), HttpReply(500, large))
        how = policy(limits=_TIGHT)
        async with self.against(provider) as pool:
            for kind in answers:
                error = await raised(LLMError, exchange(pool, provider.base_url, how))
                same(error.reason, "too_large", f"the reason of a {kind} answer")
            for kind in answers:
                same(await _reason(pool, provider.base_url, how), "too_large", f"the reason of a {kind} stream")
            same(await exchange(pool, provider.base_url, how), large[:100], "the body of an error")
            lease = await pool.acquire(provider.base_url, how)
            error = await raised(LLMError, lease.send(asking(large)))
            same(error.reason, "request_too_large", "the reason of a request")
            pool.release(lease)

    @claim
    async def test_silence_and_bounds_end_an_exchange(self) -> None:
        """Silence longer than `idle_s` ends a stream with reason `idle`; the bound ends it with its own reason."""
        gate = asyncio.Event()
        provider = server(HttpReply(chunks=[b"one", gate]), HttpReply(chunks=[b"one", gate]))
        async with self.against(provider) as pool:
            same(await _reason(pool, provider.base_url, policy(), idle_s=0.05), "idle", "the reason of silence")
            soon = Bound(asyncio.get_running_loop().time() + 0.1, "attempt")
            same(await _reason(pool, provider.base_url, policy(), bound=soon), "attempt", "the reason at the bound")
            same(pool.get_stats().active, 0, "active leases")

    @claim
    async def test_an_answer_left_early_costs_its_connection_only(self) -> None:
        """Closing an answer before its end closes the connection; the lease sends again on another one."""
        gate = asyncio.Event()
        provider = server(HttpReply(chunks=[b"one", gate]))
        async with self.against(provider) as pool:
            lease = await pool.acquire(provider.base_url, policy(1))
            answer = await lease.send(asking())
            answer.close()
            await provider.until(lambda stats: not stats.open_connections)
            same(await body_of(lease), b"hello", "the next answer")
            pool.release(lease)

    @claim
    async def test_an_exchange_can_be_cancelled_at_any_await(self) -> None:
        """Cancelling an exchange at any await ends it with CancelledError, closes its connection, leaks nothing."""
        provider = FakeProvider(then=HttpReply(chunks=[b"one", 0.05, b"two"]))
        async with self.against(provider) as pool:
            met = [await cancelled_after(point, exchange(pool, provider.base_url, policy(2))) for point in POINTS]
            expect(any(met), "the answer was there before it could be cancelled")
            same((pool.get_stats().active, pool.get_stats().waiting), (0, 0), "(active, waiting)")
            await provider.until(lambda stats: stats.open_connections <= 1)
            said = await asyncio.gather(*(exchange(pool, provider.base_url, policy(2)) for _ in range(4)))
            same(said, [b"onetwo"] * 4, "the answers afterwards")


async def _reason(
    pool: IConnectionPool,
    base_url: str,
    how: TransportPolicy,
    *,
    idle_s: float | None = None,
    bound: Bound | None = None,
) -> str:
    lease = await pool.acquire(base_url, how)
    answer = await lease.send(asking(idle_s=idle_s, bound=bound))

    async def read() -> list[bytes]:
        """Read the answer to its end."""
        return [chunk async for chunk in answer.chunks()]

    try:
        return (await raised(LLMError, read())).reason
    finally:
        answer.close()
        pool.release(lease)


async def _speak_plainly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_HEAD + b"content-length: 0\r\n\r\n")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
