from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import signal
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loomwire.application.sync import LoopThread, SyncLLMClient, _after_fork
from loomwire.domain.errors import ClientRemovedError, LLMRateLimitError, LLMValidationError, StreamInterruptedError
from loomwire.domain.events import Finished, TextDelta
from loomwire.domain.requests import LLMRequest
from loomwire.testing import Reply, ScriptedClient
from support.chains import HI, never, registry_of


async def nothing() -> None:
    """Do nothing at the end."""


@contextmanager
def sync_over(leaf: ScriptedClient) -> Iterator[SyncLLMClient]:
    """Give a blocking client over a leaf and close its thread."""
    thread = LoopThread()
    try:
        yield SyncLLMClient(leaf, thread)
    finally:
        thread.close(nothing)


def loom_threads() -> list[threading.Thread]:
    """Return the loop threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name == "loomwire"]


def interrupt() -> None:
    """Press Ctrl-C: the main thread waits inside a lock, and only a real signal wakes it."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def descriptors() -> int:
    """Return how many files and sockets the process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_blocking_call_gives_the_whole_answer() -> None:
    with sync_over(ScriptedClient("Hello.")) as client:
        assert client.generate(HI).text == "Hello."
        assert repr(client) == "Sync > ScriptedClient(scripted/scripted)"


def test_a_blocking_call_raises_what_the_async_client_raises() -> None:
    with sync_over(ScriptedClient(LLMRateLimitError("slow down"))) as client, pytest.raises(LLMRateLimitError):
        client.generate(HI)


def test_a_blocking_stream_delivers_events_and_then_the_whole_answer() -> None:
    leaf = ScriptedClient("one two")
    with sync_over(leaf) as client, client.stream(HI) as stream:
        events = list(stream)
        assert [event.text for event in events if isinstance(event, TextDelta)] == ["one ", "two"]
        assert events[-1] == Finished("stop")
        assert stream.response.text == "one two"
    assert leaf.open_streams == 0


def test_a_blocking_stream_raises_where_the_async_one_does() -> None:
    leaf = ScriptedClient(Reply("one two", cut_after=4), LLMRateLimitError("slow down"))
    with sync_over(leaf) as client:
        with client.stream(HI) as stream:
            assert next(stream) == TextDelta("one ")
            with pytest.raises(StreamInterruptedError) as caught:
                next(stream)
            assert caught.value.partial_text == "one "
        with pytest.raises(LLMRateLimitError):
            client.stream(HI).__enter__()
    assert leaf.open_streams == 0


def test_leaving_a_blocking_stream_early_closes_it() -> None:
    leaf = ScriptedClient("one two three")
    with sync_over(leaf) as client:
        with client.stream(HI) as stream:
            next(stream)
        assert leaf.open_streams == 0


def test_many_threads_share_one_client_and_one_loop() -> None:
    leaf = ScriptedClient(then=lambda request: f"answer to {request.messages[0].text}")

    def ask(number: int) -> str:
        with client.stream(LLMRequest.of(f"question {number}")) as stream:
            list(stream)
        return client.generate(LLMRequest.of(f"question {number}")).text + stream.response.text

    with sync_over(leaf) as client, concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(60)))
        assert len(loom_threads()) == 1
    assert answers == [f"answer to question {n}" * 2 for n in range(60)]


async def test_a_blocking_call_inside_a_running_loop_names_the_async_method() -> None:
    leaf = ScriptedClient()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client = SyncLLMClient(leaf, LoopThread())
        with pytest.raises(LLMValidationError, match=r"use `await client\.generate\(\.\.\.\)`") as caught:
            client.generate(HI)
        with pytest.raises(LLMValidationError, match=r"use `async with client\.stream\(\.\.\.\)`"):
            client.stream(HI).__enter__()
        gc.collect()
    assert caught.value.reason == "sync_in_loop"
    assert leaf.requests == ()
    assert loom_threads() == []


def test_iterating_a_blocking_stream_inside_a_running_loop_names_the_async_way() -> None:
    with sync_over(ScriptedClient("one two")) as client, client.stream(HI) as stream:

        async def inside() -> None:
            next(stream)

        with pytest.raises(LLMValidationError, match="iterate it with `async for`"):
            asyncio.run(inside())


def test_an_interrupt_cancels_the_call_and_is_raised() -> None:
    cancelled = threading.Event()

    async def interrupted(_: LLMRequest) -> str:
        interrupt()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "never"

    with sync_over(ScriptedClient(interrupted, "Hello again.")) as client:
        with pytest.raises(KeyboardInterrupt):
            client.generate(HI)
        assert cancelled.wait(5)
        assert client.generate(HI).text == "Hello again."


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


def test_a_call_after_closing_is_refused_and_starts_no_thread() -> None:
    thread = LoopThread()
    client = SyncLLMClient(ScriptedClient("Hello."), thread)
    client.generate(HI)
    thread.close(nothing)
    with pytest.raises(ClientRemovedError) as caught:
        client.generate(HI)
    assert caught.value.reason == "closed"
    assert loom_threads() == []


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


def test_a_call_that_cancels_itself_passes_as_a_cancellation() -> None:
    with (
        sync_over(ScriptedClient(asyncio.CancelledError())) as client,
        pytest.raises(concurrent.futures.CancelledError),
    ):
        client.generate(HI)


def test_a_stream_that_is_open_when_its_container_closes_can_still_be_left() -> None:
    thread = LoopThread()
    with SyncLLMClient(ScriptedClient("one two"), thread).stream(HI) as stream:
        next(stream)
        thread.close(nothing)
        with pytest.raises(ClientRemovedError):
            next(stream)
    assert loom_threads() == []


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


def test_an_interrupt_on_entering_a_stream_gives_its_lease_back() -> None:
    async def interrupted(_: LLMRequest) -> str:
        interrupt()
        return await never()

    registry = registry_of(ScriptedClient(interrupted), "planner")
    thread = LoopThread()
    with pytest.raises(KeyboardInterrupt):
        SyncLLMClient(registry.client("planner"), thread).stream(HI).__enter__()
    thread.close(nothing)
    assert registry.generation.leases == 0


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
    _after_fork()
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
