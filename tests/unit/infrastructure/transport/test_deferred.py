"""The pool that stands for another until a networked provider needs it."""

from __future__ import annotations

import pytest

from loomwire.domain.errors import LLMError
from loomwire.domain.ports.pool import PoolStats
from loomwire.domain.requests import Bound
from loomwire.infrastructure.transport.deferred import DeferredPool
from loomwire.testing import FakeClock
from support.wire_server import LOCAL, WireServer, ask, run_script


async def test_it_costs_nothing_before_and_works_after_the_first_call() -> None:
    pool = DeferredPool()
    assert pool.get_stats() == PoolStats()
    async with WireServer() as server:
        assert await ask(pool, server.base_url, b"1") == b"1"
        assert pool.get_stats().successful == 1
        await pool.aclose()


async def test_closed_before_the_first_call_it_stays_closed() -> None:
    pool = DeferredPool()
    await pool.aclose()
    with pytest.raises(LLMError) as caught:
        await ask(pool, "http://127.0.0.1:1")
    assert caught.value.reason == "closed"


async def test_its_clock_is_that_of_the_bounds() -> None:
    clock = FakeClock()
    pool = DeferredPool(clock=clock)
    async with WireServer() as server:
        lease = await pool.acquire(server.base_url, LOCAL, Bound(clock.now() + 5))
        pool.release(lease)
        await pool.aclose()


FORKED = """
import os, threading
from loomwire.infrastructure.transport.deferred import DeferredPool

pool = DeferredPool()
held, over = threading.Event(), threading.Event()

def hold():
    with pool._lock:
        held.set()
        over.wait(5)

thread = threading.Thread(target=hold)
thread.start()
held.wait(5)
child = os.fork()
if child == 0:
    os._exit(7 if pool._lock.acquire(timeout=1) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
over.set()
thread.join()
"""


def test_a_child_forked_while_a_thread_makes_the_pool_is_not_locked_out() -> None:
    assert run_script(FORKED) == ["7"]
