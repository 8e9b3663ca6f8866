from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import threading
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from loomwire.application.forks import _renew_all
from loomwire.application.loop_thread import LoopThread
from loomwire.application.sync import SyncLLMClient
from loomwire.domain.errors import ClientRemovedError
from loomwire.domain.requests import LLMRequest
from loomwire.testing import ScriptedClient
from support.chains import HI
from support.threads import loom_threads, nothing, sync_over


def descriptors() -> int:
    """Return how many files and sockets the process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_closing_leaves_no_thread_and_no_descriptor() -> None:
    with sync_over(ScriptedClient("warm up")) as client:
        client.generate(HI)
    gc.collect()
    before = descriptors()
    for _ in range(5):
        with sync_over(ScriptedClient("Hello.")) as client:
            client.generate(HI)
    assert descriptors() == before
    assert loom_threads() == []


def test_closing_twice_or_without_a_call_does_nothing_more() -> None:
    ended: list[str] = []

    async def last() -> None:
        ended.append("last")

    unused = LoopThread()
    unused.close(last)
    assert ended == []
    used = LoopThread()
    SyncLLMClient(ScriptedClient("Hello."), used).generate(HI)
    used.close(last)
    used.close(last)
    assert ended == ["last"]


def test_closing_ends_the_calls_of_other_threads_with_a_typed_error() -> None:
    begun = threading.Event()
    thread = LoopThread()

    async def waits(_: LLMRequest) -> str:
        begun.set()
        await asyncio.Event().wait()
        return "never"

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(SyncLLMClient(ScriptedClient(waits), thread).generate, HI)
        assert begun.wait(5)
        thread.close(nothing)
        error = call.exception(5)
    assert isinstance(error, ClientRemovedError)
    assert error.reason == "closed"


def test_an_error_of_the_last_work_is_raised_and_everything_is_closed_all_the_same() -> None:
    finished: list[str] = []

    async def generator() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            finished.append("generator")

    items = generator()

    async def step(_: LLMRequest) -> str:
        return str(await anext(items))

    async def last() -> None:
        raise OSError("a socket would not close")

    thread = LoopThread()
    assert SyncLLMClient(ScriptedClient(step), thread).generate(HI).text == "1"
    with pytest.raises(OSError, match="would not close"):
        thread.close(last)
    assert loom_threads() == []
    assert finished == ["generator"]


def test_a_forked_child_starts_a_loop_of_its_own() -> None:
    thread = LoopThread()
    client = SyncLLMClient(ScriptedClient(then="Hello."), thread)
    unused = LoopThread()
    client.generate(HI)
    child = _forked(client, unused)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.generate(HI).text == "Hello."
    thread.close(nothing)


def test_what_a_fork_left_behind_is_kept_but_never_closed() -> None:
    thread, unused = LoopThread(), LoopThread()
    client = SyncLLMClient(ScriptedClient(then="Hello."), thread)
    client.generate(HI)
    (served,) = loom_threads()
    _renew_all()
    assert client.generate(HI).text == "Hello."
    (inherited,) = thread._inherited
    assert inherited.is_running()
    assert unused._inherited == []
    thread.close(nothing)
    # In this process the thread is still there; a child has none.
    inherited.call_soon_threadsafe(inherited.stop)
    served.join(5)
    inherited.close()


def _forked(client: SyncLLMClient, unused: LoopThread) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        # No assertion and no clean-up of pytest may run in here.
        os._exit(0 if client.generate(HI).text == "Hello." and repr(unused) else 1)
    return child


def test_what_is_begun_is_not_waited_for_and_closing_ends_it() -> None:
    thread = LoopThread()
    started, hung = threading.Event(), asyncio.Event()

    async def hangs() -> None:
        started.set()
        await hung.wait()

    future = thread.begin(hangs())
    assert started.wait(5)
    assert not future.done()
    thread.close(nothing)
    assert future.cancelled()
    with pytest.raises(ClientRemovedError):
        thread.begin(hangs())
