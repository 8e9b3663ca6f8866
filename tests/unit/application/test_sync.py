from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import pickle
import signal
import threading
import warnings

import pytest

from loomwire.application.loop_thread import LoopThread
from loomwire.application.sync import SyncLLMClient
from loomwire.domain.errors import ClientRemovedError, LLMRateLimitError, LLMValidationError, StreamInterruptedError
from loomwire.domain.events import Finished, TextDelta
from loomwire.domain.requests import LLMRequest
from loomwire.testing import Reply, ScriptedClient
from support.chains import HI, never, registry_of
from support.threads import loom_threads, nothing, sync_over


def interrupt() -> None:
    """Press Ctrl-C: the main thread waits inside a lock, and only a real signal wakes it."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


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
        # Not at once: the main thread has to be waiting already.
        asyncio.get_running_loop().call_later(0.05, interrupt)
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


def test_a_call_after_closing_is_refused_and_starts_no_thread() -> None:
    thread = LoopThread()
    client = SyncLLMClient(ScriptedClient("Hello."), thread)
    client.generate(HI)
    thread.close(nothing)
    with pytest.raises(ClientRemovedError) as caught:
        client.generate(HI)
    assert caught.value.reason == "closed"
    assert loom_threads() == []


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


def test_a_stream_that_is_open_when_its_loop_ends_is_left_by_it() -> None:
    registry = registry_of(ScriptedClient("one two"), "planner")
    thread = LoopThread()
    with SyncLLMClient(registry.client("planner"), thread).stream(HI) as stream:
        next(stream)
        assert registry.generation.leases == 1
        thread.close(nothing)
        assert registry.generation.leases == 0
    assert registry.generation.leases == 0


def test_an_interrupt_on_entering_a_stream_gives_its_lease_back() -> None:
    async def interrupted(_: LLMRequest) -> str:
        asyncio.get_running_loop().call_later(0.05, interrupt)
        return await never()

    registry = registry_of(ScriptedClient(interrupted), "planner")
    thread = LoopThread()
    with pytest.raises(KeyboardInterrupt):
        SyncLLMClient(registry.client("planner"), thread).stream(HI).__enter__()
    thread.close(nothing)
    assert registry.generation.leases == 0


def test_a_blocking_client_of_anything_but_a_handle_is_not_pickled() -> None:
    with sync_over(ScriptedClient()) as client, pytest.raises(TypeError, match="send its name"):
        pickle.dumps(client)
