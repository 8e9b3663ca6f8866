"""The pool's contract notices every broken promise."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import ClassVar

import pytest
from typing_extensions import override

from loomwire.domain.errors import LLMError, LLMNetworkError, LLMProtocolError, LLMTimeoutError
from loomwire.domain.policies import TransportPolicy, WireLimits
from loomwire.domain.ports.pool import ConnectionLease, IConnectionPool, PoolStats, WireAnswer, WireRequest
from loomwire.domain.requests import Bound
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing.contracts.contract import Contract
from loomwire.testing.contracts.pool import PoolContract

FREE = TransportPolicy()


class Answer(WireAnswer):
    """An answer that keeps its promises; the others break one each."""

    def __init__(self, inner: WireAnswer) -> None:
        self.inner = inner

    @property
    @override
    def status(self) -> int:
        return self.inner.status

    @property
    @override
    def headers(self) -> Mapping[str, str]:
        return self.inner.headers

    @override
    async def read(self) -> bytes:
        return await self.inner.read()

    @override
    def chunks(self) -> AsyncIterator[bytes]:
        return self.inner.chunks()

    @override
    def close(self) -> None:
        self.inner.close()


class Lease(ConnectionLease):
    """A lease that keeps its promises, and makes the pool's kind of answers."""

    def __init__(self, inner: ConnectionLease, pool: Pool) -> None:
        self.inner = inner
        self.pool = pool

    @property
    @override
    def base_url(self) -> str:
        return self.inner.base_url

    @override
    async def send(self, request: WireRequest) -> WireAnswer:
        return self.pool.answer(await self.inner.send(self.pool.request(request)))


class Pool(IConnectionPool):
    """A pool that keeps its promises; the others break one each."""

    def __init__(self) -> None:
        self.inner = ConnectionPool()

    def request(self, request: WireRequest) -> WireRequest:
        return request

    def answer(self, answer: WireAnswer) -> WireAnswer:
        return answer

    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = FREE, bound: Bound | None = None
    ) -> ConnectionLease:
        return Lease(await self.inner.acquire(base_url, policy, bound), self)

    @override
    def release(self, lease: ConnectionLease) -> None:
        if isinstance(lease, Lease):
            self.inner.release(lease.inner)

    @override
    def get_stats(self) -> PoolStats:
        return self.inner.get_stats()

    @override
    async def aclose(self) -> None:
        await self.inner.aclose()


class Unwilling(Pool):
    """Its leases say another URL."""

    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = FREE, bound: Bound | None = None
    ) -> ConnectionLease:
        return Lease(await self.inner.acquire(base_url + "/", policy, bound), self)


class CountsPermits(Pool):
    """A release is a permit, whosever it was."""

    def __init__(self) -> None:
        super().__init__()
        self.gifts = 0

    @override
    def release(self, lease: ConnectionLease) -> None:
        self.gifts += 1
        super().release(lease)

    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = FREE, bound: Bound | None = None
    ) -> ConnectionLease:
        wide = replace(policy, pool=replace(policy.pool, max_connections=policy.pool.max_connections + self.gifts))
        return await super().acquire(base_url, wide, bound)


class CountsTwice(Pool):
    @override
    def get_stats(self) -> PoolStats:
        stats = super().get_stats()
        return replace(stats, total=stats.total * 2)


class Leaks(Pool):
    def __init__(self) -> None:
        super().__init__()
        self.kept: list[ConnectionLease] = []

    @override
    def release(self, lease: ConnectionLease) -> None:
        self.kept.append(lease)
        if self.get_stats().total % 2:
            super().release(lease)


class NeverReuses(Pool):
    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = FREE, bound: Bound | None = None
    ) -> ConnectionLease:
        once = replace(policy, limits=replace(policy.limits, body=policy.limits.body + self.get_stats().total))
        return await super().acquire(base_url, once, bound)


class LastComeFirstServed(Pool):
    """Waiters are a stack."""

    def __init__(self) -> None:
        super().__init__()
        self.out = 0
        self.stack: list[asyncio.Future[None]] = []

    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = FREE, bound: Bound | None = None
    ) -> ConnectionLease:
        while self.out >= policy.pool.max_connections:
            self.stack.append(asyncio.get_running_loop().create_future())
            await self.stack[-1]
        self.out += 1
        return await super().acquire(base_url, policy, bound)

    @override
    def release(self, lease: ConnectionLease) -> None:
        self.out -= 1
        super().release(lease)
        if self.stack:
            self.stack.pop().set_result(None)

    @override
    def get_stats(self) -> PoolStats:
        return replace(super().get_stats(), waiting=len(self.stack))


class OneReasonForAll(Pool):
    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = FREE, bound: Bound | None = None
    ) -> ConnectionLease:
        try:
            return await super().acquire(base_url, policy, bound)
        except LLMError as error:
            raise LLMTimeoutError(error.message, reason="connect") from None


class KeepsWhatCameTooLate(Pool):
    """A waiter's lease is taken behind its back, so a cancelled one's is never given back."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[asyncio.Task[ConnectionLease]] = []

    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = FREE, bound: Bound | None = None
    ) -> ConnectionLease:
        self.kept.append(asyncio.ensure_future(super().acquire(base_url, policy, bound)))
        return await asyncio.shield(self.kept[-1])


class OneLoopOnly(Pool):
    loop: asyncio.AbstractEventLoop | None = None

    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = FREE, bound: Bound | None = None
    ) -> ConnectionLease:
        here = asyncio.get_running_loop()
        self.loop = self.loop or here
        if self.loop is not here:
            raise RuntimeError("another loop")
        return await super().acquire(base_url, policy, bound)


class Trusting(Pool):
    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = FREE, bound: Bound | None = None
    ) -> ConnectionLease:
        return await super().acquire(base_url, replace(policy, allow_private=True), bound)


class LosesTheBody(Pool):
    @override
    def request(self, request: WireRequest) -> WireRequest:
        return replace(request, body=b"")


class AlwaysPosts(Pool):
    @override
    def request(self, request: WireRequest) -> WireRequest:
        return replace(request, method="POST")


class LastHeaderWins(Pool):
    @override
    def answer(self, answer: WireAnswer) -> WireAnswer:
        class Last(Answer):
            @property
            @override
            def headers(self) -> Mapping[str, str]:
                return {name: value.rpartition(",")[2].strip() for name, value in self.inner.headers.items()}

        return Last(answer)


class OneOriginForAll(Pool):
    """Keyed by nothing at all."""

    first = ""

    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = FREE, bound: Bound | None = None
    ) -> ConnectionLease:
        self.first = self.first or base_url
        return await super().acquire(self.first, policy, bound)


class Hoarding(Pool):
    """Its chunks come when all of them are there."""

    @override
    def answer(self, answer: WireAnswer) -> WireAnswer:
        class Whole(Answer):
            @override
            async def chunks(self) -> AsyncIterator[bytes]:
                yield await self.inner.read()

        return Whole(answer)


class Packed(Pool):
    @override
    def answer(self, answer: WireAnswer) -> WireAnswer:
        class Gzipped(Answer):
            @override
            async def read(self) -> bytes:
                return gzip.compress(await self.inner.read())

        return Gzipped(answer)


class FollowsRedirects(Pool):
    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = FREE, bound: Bound | None = None
    ) -> ConnectionLease:
        class Following(Lease):
            @override
            async def send(self, request: WireRequest) -> WireAnswer:
                answer = await super().send(request)
                if answer.status == 302:
                    answer.close()
                    return await super().send(request)
                return answer

        return Following(await self.inner.acquire(base_url, policy, bound), self)


class ShowsTheKey(Pool):
    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = FREE, bound: Bound | None = None
    ) -> ConnectionLease:
        class Telling(Lease):
            @override
            async def send(self, request: WireRequest) -> WireAnswer:
                try:
                    return await super().send(request)
                except LLMError as error:
                    raise LLMNetworkError(f"sent {request.headers}", reason=error.reason) from None

        return Telling(await self.inner.acquire(base_url, policy, bound), self)


class AlwaysReset(Pool):
    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = FREE, bound: Bound | None = None
    ) -> ConnectionLease:
        class Vague(Lease):
            @override
            async def send(self, request: WireRequest) -> WireAnswer:
                try:
                    return await super().send(request)
                except LLMError:
                    raise LLMProtocolError("something went wrong") from None

        return Vague(await self.inner.acquire(base_url, policy, bound), self)


class Uncapped(Pool):
    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = FREE, bound: Bound | None = None
    ) -> ConnectionLease:
        return await super().acquire(base_url, replace(policy, limits=WireLimits()), bound)


class CapsWholeBodiesOnly(Pool):
    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = FREE, bound: Bound | None = None
    ) -> ConnectionLease:
        limits = replace(policy.limits, stream=WireLimits().stream)
        return await super().acquire(base_url, replace(policy, limits=limits), bound)


class Patient(Pool):
    @override
    def request(self, request: WireRequest) -> WireRequest:
        return replace(request, idle_s=None, bound=None)


class NeverCloses(Pool):
    @override
    def answer(self, answer: WireAnswer) -> WireAnswer:
        class Open(Answer):
            @override
            def close(self) -> None:
                pass

        return Open(answer)


class Swallows(Pool):
    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = FREE, bound: Bound | None = None
    ) -> ConnectionLease:
        class Deaf(Lease):
            @override
            async def send(self, request: WireRequest) -> WireAnswer:
                try:
                    return await super().send(request)
                except asyncio.CancelledError:
                    return await super().send(request)

        return Deaf(await self.inner.acquire(base_url, policy, bound), self)


class StaysOpen(Pool):
    @override
    async def aclose(self) -> None:
        pass


class Suite(PoolContract):
    """The suite over one of these."""

    patience_s: ClassVar[float] = 10.0

    def __init__(self, broken: type[Pool]) -> None:
        self.broken = broken
        self.made: list[Pool] = []

    @override
    def pool(self) -> IConnectionPool:
        self.made.append(self.broken())
        return self.made[-1]


class HastySuite(Suite):
    """For those that hang: they need not be waited for."""

    patience_s: ClassVar[float] = 0.3


BROKEN: list[tuple[str, type[Pool], str]] = [
    ("a_lease_names_what_was_asked_for", Unwilling, "base_url is"),
    ("releasing_twice_does_nothing", CountsPermits, "in place of raising LLMTimeoutError"),
    ("the_books_add_up", CountsTwice, "(total, successful) is (10, 5)"),
    ("the_books_add_up", Leaks, "(active, waiting) is (2, 0)"),
    ("connections_are_kept_for_the_next_request", NeverReuses, "the number of connections for 5 requests is 5"),
    ("the_line_is_first_come_first_served", LastComeFirstServed, "the order is"),
    ("waiting_in_line_ends_in_time", OneReasonForAll, "the reason is 'connect' and not 'queue'"),
    ("a_cancelled_waiter_leaks_nothing", KeepsWhatCameTooLate, "(active, waiting) is"),
    ("a_closed_pool_refuses_work", StaysOpen, "had not ended"),
    ("it_serves_several_loops", OneLoopOnly, "RuntimeError: another loop"),
    ("addresses_are_checked", Trusting, "in place of ConfigError"),
    ("a_request_goes_out_and_an_answer_comes_back", LosesTheBody, "what arrived is"),
    ("a_request_goes_out_and_an_answer_comes_back", AlwaysPosts, "the other method that arrived is 'POST'"),
    ("repeated_headers_are_joined", LastHeaderWins, "the header is 'two'"),
    ("origins_share_nothing", OneOriginForAll, "what the other server said is b'hello'"),
    ("a_certificate_that_nobody_vouches_for_is_refused", AlwaysReset, "the reason is 'protocol'"),
    ("chunks_come_as_they_come", Hoarding, "it had not ended"),
    ("bodies_are_decompressed", Packed, "the body is"),
    ("redirects_are_not_followed", FollowsRedirects, "the status is 200 and not 302"),
    ("what_breaks_is_an_llm_error_with_its_reason", AlwaysReset, "the reason is 'protocol' and not eof or reset"),
    ("what_breaks_is_an_llm_error_with_its_reason", ShowsTheKey, "the error shows the key"),
    ("nobody_listening_and_no_tls_have_their_reasons", AlwaysReset, "the reason is 'protocol' and not 'refused'"),
    ("answers_are_capped", Uncapped, "in place of raising LLMError"),
    ("answers_are_capped", CapsWholeBodiesOnly, "in place of raising LLMError"),
    ("silence_and_bounds_end_an_exchange", Patient, "it had not ended"),
    ("an_answer_left_early_costs_its_connection_only", NeverCloses, "it had not ended"),
    ("an_exchange_can_be_cancelled_at_any_await", Swallows, "cancelled after"),
]


@pytest.mark.parametrize(("claim", "broken", "seen"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
async def test_a_broken_promise_is_noticed(
    claim: str, broken: type[Pool], seen: str, breach: Callable[[Contract, str], str]
) -> None:
    suite = (HastySuite if "not ended" in seen else Suite)(broken)
    assert seen in await asyncio.to_thread(breach, suite, f"test_{claim}")
    for pool in suite.made:
        await pool.inner.aclose()


def test_every_claim_of_the_contract_is_proved_to_fail() -> None:
    claims = {name.removeprefix("test_") for name in dir(PoolContract) if name.startswith("test_")}
    assert claims == {claim for claim, _, _ in BROKEN}
