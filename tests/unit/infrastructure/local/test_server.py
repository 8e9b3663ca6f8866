"""One engine per model file: started by whoever comes first, awaited in bounded time, stopped with its last user."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typing_extensions import override

from loomwire.domain.errors import LLMError, LLMNotFoundError, LLMTimeoutError
from loomwire.domain.requests import Bound
from loomwire.domain.values import Secret
from loomwire.infrastructure.local.engine import Engine, LlamaEngine, LoadError, start_engine
from loomwire.infrastructure.local.server import LocalServer, LocalServers
from loomwire.infrastructure.local.settings import LocalSettings
from loomwire.infrastructure.telemetry.clock import SystemClock

CLOCK = SystemClock()


class StandIn(Engine):
    """An engine that only remembers what was done to it."""

    def __init__(self, base_url: str = "http://127.0.0.1:1/v1") -> None:
        self.base_url = base_url
        self.key = Secret("key-of-the-engine")
        self.ended = threading.Event()

    @override
    def stop(self) -> None:
        self.ended.set()

    @override
    def abandon(self) -> None:
        self.ended.set()


class Loader:
    """Starts stand-ins, each once the gate is open."""

    def __init__(self, *, is_open: bool = True, failures: tuple[Exception, ...] = ()) -> None:
        self.engines: list[StandIn] = []
        self.begun = threading.Event()
        self.gate = threading.Event()
        self._failures = list(failures)
        if is_open:
            self.gate.set()

    def __call__(self, settings: LocalSettings) -> Engine:
        self.begun.set()
        assert self.gate.wait(10)
        if self._failures:
            raise self._failures.pop(0)
        self.engines.append(StandIn())
        return self.engines[-1]


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF")
    return LocalSettings(model_path=str(path))


def until(true: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    end, pause = time.monotonic() + 5, threading.Event()
    while not true():
        assert time.monotonic() < end
        pause.wait(0.005)


async def test_first_calls_of_many_loops_and_threads_start_one_engine(settings: LocalSettings) -> None:
    loader = Loader(is_open=False)
    server = LocalServer(settings, loader)
    found: list[Engine] = []

    async def several() -> None:
        found.extend(await asyncio.gather(*(server.begin(CLOCK, None) for _ in range(5))))

    threads = [threading.Thread(target=lambda: asyncio.run(several())) for _ in range(4)]
    for thread in threads:
        thread.start()
    here = asyncio.create_task(several())
    await asyncio.to_thread(loader.begun.wait, 5)
    loader.gate.set()
    await here
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert len(found) == 25
    assert set(map(id, found)) == {id(engine) for engine in loader.engines}
    assert len(loader.engines) == 1


async def test_a_call_whose_bound_passes_while_the_model_loads_ends_typed_and_the_load_goes_on(
    settings: LocalSettings,
) -> None:
    loader = Loader(is_open=False)
    server = LocalServer(settings, loader)
    server.join()
    with pytest.raises(LLMTimeoutError) as caught:
        await server.begin(CLOCK, Bound(CLOCK.now() + 0.05, "deadline"))
    assert caught.value.reason == "deadline"
    assert "being loaded" in caught.value.message
    loader.gate.set()
    engine = await server.begin(CLOCK, Bound(CLOCK.now() + 5))
    assert [engine] == loader.engines


async def test_a_cancelled_call_leaves_the_load_to_the_others(settings: LocalSettings) -> None:
    loader = Loader(is_open=False)
    server = LocalServer(settings, loader)
    server.join()
    first, second = (asyncio.create_task(server.begin(CLOCK, None)) for _ in range(2))
    await asyncio.to_thread(loader.begun.wait, 5)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    loader.gate.set()
    assert [await second] == loader.engines


async def test_a_running_engine_is_returned_without_waiting(settings: LocalSettings) -> None:
    server = LocalServer(settings, Loader())
    server.join()
    engine = await server.begin(CLOCK, None)
    coroutine = server.begin(CLOCK, None)
    with pytest.raises(StopIteration) as caught:
        coroutine.send(None)
    assert caught.value.value is engine


async def test_a_load_that_fails_is_a_typed_error_for_all_who_wait_and_the_next_call_tries_again(
    settings: LocalSettings,
) -> None:
    loader = Loader(is_open=False, failures=(LoadError("llama.cpp says no"),))
    server = LocalServer(settings, loader)
    server.join()
    waiting = [asyncio.create_task(server.begin(CLOCK, None)) for _ in range(2)]
    await asyncio.to_thread(loader.begun.wait, 5)
    loader.gate.set()
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in errors] == [LLMNotFoundError] * 2
    assert errors[0] is not errors[1]
    assert "llama.cpp says no" in str(errors[0])
    assert [await server.begin(CLOCK, None)] == loader.engines


async def test_a_load_that_fails_in_an_unforeseen_way_says_only_its_kind(settings: LocalSettings) -> None:
    server = LocalServer(settings, Loader(failures=(OSError("/secret/path"),)))
    with pytest.raises(LLMNotFoundError, match="OSError") as caught:
        await server.begin(CLOCK, None)
    assert "secret" not in str(caught.value)


async def test_a_file_that_vanished_since_the_check_is_said_to_be_missing(settings: LocalSettings) -> None:
    gone = LocalSettings(model_path=settings.model_path + "x")
    loader = Loader()
    with pytest.raises(LLMNotFoundError, match="no such model file"):
        await LocalServer(gone, loader).begin(CLOCK, None)
    assert not loader.begun.is_set()


async def test_the_engine_stops_with_its_last_user_but_not_before_its_last_call(settings: LocalSettings) -> None:
    loader = Loader()
    server = LocalServer(settings, loader)
    server.join()
    server.join()
    await server.begin(CLOCK, None)
    assert server.leave() is False
    assert server.leave() is False
    (engine,) = loader.engines
    assert not engine.ended.is_set()
    server.end()
    assert await asyncio.to_thread(engine.ended.wait, 5)


async def test_an_engine_that_nobody_waits_for_any_more_stops_once_it_is_there(settings: LocalSettings) -> None:
    loader = Loader(is_open=False)
    server = LocalServer(settings, loader)
    server.join()
    with pytest.raises(LLMTimeoutError):
        await server.begin(CLOCK, Bound(CLOCK.now() + 0.02))
    assert server.leave() is False
    loader.gate.set()
    await asyncio.to_thread(until, lambda: bool(loader.engines) and loader.engines[0].ended.is_set())


async def test_a_forked_child_starts_an_engine_of_its_own(settings: LocalSettings) -> None:
    loader = Loader()
    server = LocalServer(settings, loader)
    server.join()
    parents = await server.begin(CLOCK, None)
    server.after_fork()
    assert await server.begin(CLOCK, None) is not parents
    server.end()
    assert server.leave() is True
    assert await asyncio.to_thread(server.stopped.wait, 5)


def test_containers_share_a_server_of_the_same_settings_and_no_other(settings: LocalSettings) -> None:
    loader = Loader()
    one, two = LocalServers(loader), LocalServers(loader)
    first, second = one.lease(settings), two.lease(settings)
    other = two.lease(LocalSettings(model_path=settings.model_path, context=8))
    assert first.server is second.server
    assert other.server is not first.server


async def test_closing_gives_leases_back_waits_for_the_engine_and_refuses_new_ones(settings: LocalSettings) -> None:
    loader = Loader()
    one, two = LocalServers(loader), LocalServers(loader)
    lease, shared = one.lease(settings), two.lease(settings)
    await lease.server.begin(CLOCK, None)
    lease.server.end()
    (engine,) = loader.engines
    await asyncio.to_thread(one.close)
    assert lease.closed
    assert not engine.ended.is_set()
    await asyncio.to_thread(two.close)
    assert shared.closed
    assert engine.ended.is_set()
    await asyncio.to_thread(two.close)
    with pytest.raises(LLMError) as caught:
        one.lease(settings)
    assert caught.value.reason == "closed"


async def test_a_client_that_is_dropped_gives_its_lease_back(settings: LocalSettings) -> None:
    loader = Loader()
    servers = LocalServers(loader)
    lease = servers.lease(settings)
    server = lease.server
    await server.begin(CLOCK, None)
    server.end()
    del lease
    gc.collect()
    assert await asyncio.to_thread(loader.engines[0].ended.wait, 5)


class Told:
    """What the package's server would be: says how busy it is."""

    listening_address = "http://127.0.0.1:1"

    def __init__(self, *busy: int) -> None:
        self._busy = list(busy)

    def handle_metrics(self) -> str:
        busy = self._busy.pop(0) if len(self._busy) > 1 else self._busy[0]
        return f"# HELP x\nllamacpp:requests_processing {busy}\nllamacpp:requests_deferred 0\n"


def test_a_server_is_dropped_once_it_says_that_it_is_idle() -> None:
    server = Told(3, 10, 0)
    engine = LlamaEngine(server, Secret("key"))
    assert engine.base_url == "http://127.0.0.1:1/v1"
    before = references(server)
    engine.stop()
    assert references(server) == before - 1


def test_a_server_that_stays_busy_is_left_alone_because_stopping_it_would_never_end() -> None:
    server = Told(1)
    engine = LlamaEngine(server, Secret("key"), patience_s=0.05)
    before = references(server)
    engine.stop()
    assert references(server) == before
    engine.stop()
    engine.abandon()
    assert references(server) == before


def test_a_file_that_is_no_model_is_a_load_error_and_never_the_end_of_the_process(settings: LocalSettings) -> None:
    # Without the package it is the package that is missing.
    with pytest.raises(LoadError):
        start_engine(settings)


def references(thing: object) -> int:
    gc.collect()
    return sys.getrefcount(thing)
