"""Claims about leases: the line, giving back, closing, loops and the books."""

from __future__ import annotations

import asyncio

from loomwire.domain.errors import ConfigError, LLMError, LLMTimeoutError
from loomwire.domain.policies import TransportPolicy
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.domain.requests import Bound
from loomwire.testing.contracts.contract import (
    cancelled_after,
    claim,
    expect,
    in_threads,
    needs,
    raised,
    same,
    turns,
    until,
)
from loomwire.testing.contracts.pool_claims.harness import PoolHarness, body_of, exchange, policy, server
from loomwire.testing.server.provider import FakeProvider
from loomwire.testing.wire import HttpReply

_THREADS = 3
_ROUNDS = 5


class LendingClaims(PoolHarness):
    """Who gets a lease when, and what is counted."""

    @claim
    async def test_a_lease_names_what_was_asked_for(self) -> None:
        """A lease says the base URL that was asked for, and stays good for further requests."""
        provider = server()
        async with self.against(provider) as pool:
            lease = await pool.acquire(provider.base_url, policy())
            same(lease.base_url, provider.base_url, "base_url")
            same([await body_of(lease) for _ in range(2)], [b"hello", b"hello"], "two answers on one lease")
            pool.release(lease)

    @claim
    async def test_releasing_twice_does_nothing(self) -> None:
        """Releasing a lease twice does nothing: one place is free afterwards, not two."""
        provider = server()
        how = policy(1, queue_s=0.05)
        async with self.against(provider) as pool:
            lease = await pool.acquire(provider.base_url, how)
            same(pool.get_stats().active, 1, "active leases")
            pool.release(lease)
            pool.release(lease)
            same(pool.get_stats().active, 0, "active leases after two releases")
            other = await pool.acquire(provider.base_url, how)
            pool.release(lease)
            await raised(LLMTimeoutError, pool.acquire(provider.base_url, how))
            pool.release(other)

    @claim
    async def test_the_books_add_up(self) -> None:
        """Every request is counted once, opened and reused connections make up the total, nothing stays active."""
        provider = server()
        async with self.against(provider) as pool:
            before = pool.get_stats()
            for _ in range(_ROUNDS):
                await exchange(pool, provider.base_url)
            stats = pool.get_stats()
            same((before.total, before.active), (0, 0), "a fresh pool's (total, active)")
        same((stats.total, stats.successful), (_ROUNDS, _ROUNDS), "(total, successful)")
        same((stats.active, stats.waiting), (0, 0), "(active, waiting)")
        if self.counts_connections:
            same(stats.opened + stats.reused, stats.total, "opened and reused together")

    @claim
    async def test_connections_are_kept_for_the_next_request(self) -> None:
        """A connection whose answer was read to its end carries the next request."""
        provider = server()
        async with self.against(provider) as pool:
            for _ in range(_ROUNDS):
                await exchange(pool, provider.base_url)
            same(provider.stats.connections, 1, f"the number of connections for {_ROUNDS} requests")
            if self.counts_connections:
                same(pool.get_stats().reused, _ROUNDS - 1, "reused")

    @claim
    async def test_origins_share_nothing(self) -> None:
        """Origins share neither connections nor places in line: each base URL is answered by its own server."""
        one, other = server(), FakeProvider(then=HttpReply(200, b"other"))
        async with other, self.against(one) as pool:
            lease = await pool.acquire(one.base_url, policy(1))
            for _ in range(2):
                same(
                    await exchange(pool, other.base_url, policy(1, queue_s=0.5)), b"other", "what the other server said"
                )
                same(await body_of(lease), b"hello", "what the first server said")
            pool.release(lease)

    @claim
    async def test_the_line_is_first_come_first_served(self) -> None:
        """At most `max_connections` leases are out; further callers wait in line, first come, first served."""
        provider = server()
        served: list[int] = []
        async with self.against(provider) as pool:

            async def ask(number: int) -> None:
                """Note when the lease came, and give it back a little later."""
                lease = await pool.acquire(provider.base_url, policy(1))
                served.append(number)
                await turns(3)
                pool.release(lease)

            first = await pool.acquire(provider.base_url, policy(1))
            line = [asyncio.ensure_future(ask(number)) for number in range(_ROUNDS)]
            await until(lambda: pool.get_stats().waiting == _ROUNDS, f"`waiting` is not {_ROUNDS}")
            same(served, [], "who was served while the only lease was out")
            pool.release(first)
            await asyncio.gather(*line)
        same(served, list(range(_ROUNDS)), "the order")

    @claim
    async def test_waiting_in_line_ends_in_time(self) -> None:
        """Waiting in line ends after `queue_s` with reason `queue`, or at the bound with the bound's reason."""
        provider = server()
        how = policy(1, queue_s=0.1)
        async with self.against(provider) as pool:
            lease = await pool.acquire(provider.base_url, how)
            error = await raised(LLMTimeoutError, pool.acquire(provider.base_url, how))
            same(error.reason, "queue", "the reason")
            soon = Bound(asyncio.get_running_loop().time() + 0.05, "attempt")
            error = await raised(LLMTimeoutError, pool.acquire(provider.base_url, how, soon))
            same(error.reason, "attempt", "the reason at the bound")
            pool.release(lease)
            same(await exchange(pool, provider.base_url, how), b"hello", "the next answer")
            same((pool.get_stats().active, pool.get_stats().waiting), (0, 0), "(active, waiting)")

    @claim
    async def test_a_cancelled_waiter_leaks_nothing(self) -> None:
        """A waiter that is cancelled at any time, even when its turn has just come, keeps no lease."""
        provider = server()
        async with self.against(provider) as pool:
            for point in range(_ROUNDS):
                lease = await pool.acquire(provider.base_url, policy(1))
                await cancelled_after(point, pool.acquire(provider.base_url, policy(1)))
                waiter = asyncio.ensure_future(pool.acquire(provider.base_url, policy(1)))
                await turns(point + 1)
                pool.release(lease)
                waiter.cancel()
                await asyncio.wait({waiter})
                if not waiter.cancelled():
                    pool.release(waiter.result())
                same((pool.get_stats().active, pool.get_stats().waiting), (0, 0), "(active, waiting)")
                same(await exchange(pool, provider.base_url, policy(1)), b"hello", "the next answer")

    @claim
    async def test_a_closed_pool_refuses_work(self) -> None:
        """After `aclose`, which is idempotent, `acquire` raises reason `closed`; those in line are told the same."""
        provider = server()
        async with self.against(provider) as pool:
            lease = await pool.acquire(provider.base_url, policy(1))
            waiter = asyncio.ensure_future(pool.acquire(provider.base_url, policy(1)))
            await turns(3)
            await pool.aclose()
            await pool.aclose()
            same((await raised(LLMError, waiter)).reason, "closed", "the reason of the one in line")
            error = await raised(LLMError, pool.acquire(provider.base_url, policy()))
            same(error.reason, "closed", "the reason of the next one")
            pool.release(lease)
            same(pool.get_stats().active, 0, "active leases")
            await provider.until(lambda stats: not stats.open_connections)

    @claim
    @needs("serves_loops")
    async def test_it_serves_several_loops(self) -> None:
        """Threads with event loops of their own may use one pool at the same time."""
        provider = server()
        async with self.against(provider) as pool:

            async def work() -> list[bytes]:
                """Make a few exchanges, one after the other."""
                return [await exchange(pool, provider.base_url) for _ in range(_ROUNDS)]

            said = await in_threads(_THREADS, work)
            same(said, [[b"hello"] * _ROUNDS] * _THREADS, "what the threads were answered")
            same(await exchange(pool, provider.base_url), b"hello", "the answer on the first loop afterwards")
            same(pool.get_stats().total, _THREADS * _ROUNDS + 1, "total")
            same(pool.get_stats().active, 0, "active leases")

    @claim
    async def test_addresses_are_checked(self) -> None:
        """Private addresses are refused unless the policy allows them, and so are user info, query and fragment."""
        async with self.against(server()) as pool:
            await raised(ConfigError, _sent(pool, "http://127.0.0.1:9/v1", TransportPolicy()))
            for odd in ("ftp://127.0.0.1/v1", "http://a:b@127.0.0.1/v1", "http://127.0.0.1/v1?a=b", "http://"):
                error = await raised(ConfigError, _sent(pool, odd, policy()))
                expect("a:b" not in str(error), "the error shows the user info")


async def _sent(pool: IConnectionPool, base_url: str, how: TransportPolicy) -> bytes:
    return await exchange(pool, base_url, how)
