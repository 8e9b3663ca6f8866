"""Many loops, threads and processes share one pool, and none of them sees another's connection."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from loomwire.domain.errors import LLMError
from loomwire.domain.policies import PoolPolicy
from loomwire.domain.ports.pool import WireRequest
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import LOCAL, Exchange, WireServer, ask, eventually, run_script, served_by_thread


async def slow_echo(exchange: Exchange) -> None:
    """Answer with the request's own body, after a moment."""
    await asyncio.sleep(0.001)
    await exchange.answer(exchange.body)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_three_hundred_loops_leave_no_file_open() -> None:
    pool = ConnectionPool()
    with served_by_thread() as server:
        asyncio.run(ask(pool, server.base_url))
        before = open_files()
        for number in range(300):
            assert asyncio.run(ask(pool, server.base_url, b"%d" % number)) == b"%d" % number
        assert open_files() <= before + 1
        assert len(pool._rooms) <= 1
    assert pool.get_stats().idle == 0


def test_a_loop_and_all_it_held_can_be_collected() -> None:
    pool = ConnectionPool()
    with served_by_thread() as server:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(ask(pool, server.base_url))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        kept = weakref.ref(loop)
        del loop
        gc.collect()
        assert kept() is None


def test_threads_with_their_own_loops_and_few_connections_all_get_their_own_answers() -> None:
    pool = ConnectionPool()
    policy = replace(LOCAL, pool=PoolPolicy(max_connections=2))

    async def eight(url: str, thread: int) -> int:
        bodies = [b"%d-%d" % (thread, number) for number in range(8)]
        answers = await asyncio.gather(*(ask(pool, url, body, policy) for body in bodies))
        return sum(answer == body for answer, body in zip(answers, bodies, strict=True))

    with served_by_thread(slow_echo) as server, ThreadPoolExecutor(8) as threads:
        jobs = [threads.submit(asyncio.run, eight(server.base_url, thread)) for thread in range(64)]
        assert sum(job.result(10) for job in jobs) == 64 * 8
        stats = pool.get_stats()
        assert (stats.total, stats.successful, stats.active, stats.idle) == (512, 512, 0, 0)
        assert stats.reused + stats.opened == 512
        assert stats.opened <= 64 * 2


def test_statistics_can_be_read_while_others_work() -> None:
    pool = ConnectionPool()
    over = threading.Event()

    def watch() -> int:
        reads = 0
        while not over.is_set():
            stats = pool.get_stats()
            assert stats.active >= 0
            reads += 1
            over.wait(0.001)
        return reads

    with served_by_thread() as server, ThreadPoolExecutor(5) as threads:
        watcher = threads.submit(watch)
        for _ in range(10):
            list(threads.map(lambda _: asyncio.run(ask(pool, server.base_url)), range(4)))
        over.set()
        assert watcher.result(5) > 0


def test_closing_from_one_loop_lets_the_others_finish() -> None:
    pool = ConnectionPool()
    closed, asked = threading.Event(), threading.Event()

    async def elsewhere(url: str) -> bytes:
        await ask(pool, url)
        lease = await pool.acquire(url, LOCAL)
        asked.set()
        await asyncio.to_thread(closed.wait, 5)
        await asyncio.sleep(0.01)
        assert pool.get_stats().idle == 0
        body = await (await lease.send(WireRequest("/chat", (), b"last"))).read()
        pool.release(lease)
        assert pool.get_stats().idle == 0
        return body

    with served_by_thread() as server, ThreadPoolExecutor(1) as threads:
        other = threads.submit(asyncio.run, elsewhere(server.base_url))
        asked.wait(5)
        asyncio.run(pool.aclose())
        closed.set()
        assert other.result(5) == b"last"


FORK = """
import asyncio, os, sys
from loomwire.domain.ports.pool import WireRequest
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import LOCAL, ask

url, pool = sys.argv[1], ConnectionPool()

async def calls(name):
    wrong = 0
    for number in range(50):
        body = b"%s-%d" % (name, number)
        wrong += await ask(pool, url, body) != body
    return wrong

def child(name, lease, reply):
    reply.close()
    pool.release(lease)
    stats = pool.get_stats()
    assert (stats.total, stats.idle, stats.active) == (0, 0, 0), stats
    wrong = asyncio.run(calls(name))
    assert pool.get_stats().opened == 1, pool.get_stats()
    return wrong

async def parent():
    await asyncio.gather(*(ask(pool, url, b"warm") for _ in range(4)))
    lease = await pool.acquire(url, LOCAL)
    reply = await lease.send(WireRequest("/stream", (), b""))
    chunks = reply.chunks()
    first = await anext(chunks)
    children = []
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                code = child(b"child%d" % number, lease, reply)
            finally:
                os._exit(code)
        children.append(pid)
    wrong = await calls(b"parent")
    await ask(pool, url, b"go", path="/go")
    rest = b"".join([chunk async for chunk in chunks])
    pool.release(lease)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    print(wrong, *codes, first + rest, pool.get_stats().opened)

asyncio.run(parent())
"""


def test_after_a_fork_nobody_gets_another_s_answer() -> None:
    go = asyncio.Event()

    async def play(exchange: Exchange) -> None:
        if exchange.path == "/stream":
            await exchange.start_chunks()
            await exchange.chunk(b"one")
            await go.wait()
            await exchange.chunk(b"two")
            await exchange.chunk(b"")
            return
        if exchange.path == "/go":
            go.set()
        await slow_echo(exchange)

    with served_by_thread(play) as server:
        assert run_script(FORK, server.base_url) == ["0 0 0 0 b'onetwo' 4"]


PRELOADED = """
import asyncio, os, sys, threading
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import ask

url, pool, loop = sys.argv[1], ConnectionPool(), asyncio.new_event_loop()
thread = threading.Thread(target=loop.run_forever)
thread.start()

def call(body):
    return asyncio.run_coroutine_threadsafe(ask(pool, url, body), loop).result(5)

assert call(b"warm") == b"warm"
child = os.fork()
if child == 0:
    assert asyncio.run(ask(pool, url, b"child")) == b"child"
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print([call(b"%d" % number) for number in range(3)], pool.get_stats().opened)
asyncio.run_coroutine_threadsafe(pool.aclose(), loop).result(5)
loop.call_soon_threadsafe(loop.stop)
thread.join()
loop.close()
"""


def test_a_child_that_ends_like_any_program_does_not_touch_the_parent_s_connections() -> None:
    with served_by_thread() as server:
        assert run_script(PRELOADED, server.base_url) == ["7", "[b'0', b'1', b'2'] 1"]


async def test_a_process_id_that_changed_unnoticed_is_noticed_by_the_next_call(pool: ConnectionPool) -> None:
    async with WireServer() as server:
        await ask(pool, server.base_url)
        lease = await pool.acquire(server.base_url, LOCAL)
        pool._pid = -1
        await ask(pool, server.base_url)
        stats = pool.get_stats()
        assert (stats.total, stats.opened, stats.idle) == (1, 1, 1)
        await eventually(lambda: server.open == 2)
        with pytest.raises(LLMError) as caught:
            await lease.send(WireRequest("/chat", (), b""))
        assert caught.value.retryable
        pool.release(lease)
        await pool.aclose()
        await eventually(lambda: server.open == 1)
    # The parent's connection, which the pool left alone, ends with the server.
    await asyncio.sleep(0.02)


CARELESS = """
import asyncio, gc, os, sys, weakref
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import ask

pool = ConnectionPool()
files = lambda: len(os.listdir("/proc/self/fd"))

def careless(close):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(ask(pool, sys.argv[1]))
    if close:
        loop.close()
    return weakref.ref(loop)

careless(True)
gc.collect()
before = files()
gone = [careless(number % 2) for number in range(20)]
gc.collect()
print(all(loop() is None for loop in gone), files() - before, len(pool._rooms))
"""


def test_loops_that_nobody_shut_down_properly_are_let_go_too() -> None:
    with served_by_thread() as server:
        assert run_script(CARELESS, server.base_url) == ["True 0 0"]


QUIET = """
import asyncio, sys
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import ask

pool = ConnectionPool()

async def main():
    await asyncio.gather(*(ask(pool, sys.argv[1]) for _ in range(5)))

asyncio.run(main(), debug=True)
asyncio.run(main())
with asyncio.Runner() as runner:
    runner.run(main())
    runner.run(main())
print("quiet")
"""


@pytest.mark.parametrize("options", [["-W", "error", "-X", "dev"]])
def test_a_proper_shutdown_warns_of_nothing(options: list[str]) -> None:
    with served_by_thread() as server:
        assert run_script(QUIET, server.base_url, options=options) == ["quiet"]
