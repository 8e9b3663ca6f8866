from __future__ import annotations

import asyncio
import pickle

import pytest

from loomwire.application.generation import Generation, build_generation
from loomwire.application.handles.counting import CounterHandle, SyncTokenCounter
from loomwire.application.loop_thread import LoopThread
from loomwire.application.registry import ClientRegistry
from loomwire.domain.errors import CapabilityError, ClientRemovedError, LLMValidationError
from loomwire.domain.requests import LLMRequest
from loomwire.testing import ScriptedClient
from support.chains import parts, snapshot
from support.counting import WordCounter, counting_parts

HI = LLMRequest.of("one two")


def generation(number: int, counter: WordCounter, name: str = "teller") -> Generation:
    return build_generation(number, snapshot(name), counting_parts(counter)[0])


async def test_a_handle_always_means_what_is_in_force() -> None:
    first, second = WordCounter(), WordCounter()
    found = ClientRegistry(generation(1, first))
    counter = CounterHandle(found.client("teller"))
    assert (repr(counter), counter.name) == ("TokenCounter(teller)", "teller")
    assert (await counter.count(HI)).input_tokens == 2
    found.swap(generation(2, second))
    await counter.count(HI)
    await counter.count(HI)
    assert (len(first.requests), len(second.requests)) == (1, 2)
    found.swap(generation(3, second, "other"))
    with pytest.raises(ClientRemovedError, match="'teller' was removed"):
        await counter.count(HI)


async def test_a_call_holds_its_generation_until_it_ends() -> None:
    found = ClientRegistry(generation(1, WordCounter(waits=True)))
    counter = CounterHandle(found.client("teller"))

    async def ask() -> None:
        await counter.count(HI)

    task = asyncio.create_task(ask())
    for _ in range(20):
        await asyncio.sleep(0)
    assert found.generation.leases == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert found.generation.leases == 0


async def test_a_text_in_place_of_a_request_is_told_at_once() -> None:
    counter = CounterHandle(ClientRegistry(generation(1, WordCounter())).client("teller"))
    with pytest.raises(LLMValidationError, match="takes an LLMRequest, not str"):
        await counter.count("one two")  # type: ignore[arg-type]


def test_checking_says_what_cannot_be() -> None:
    nobody = ClientRegistry(build_generation(1, snapshot("teller"), parts(ScriptedClient())))
    with pytest.raises(CapabilityError, match="counts tokens"):
        CounterHandle(nobody.client("teller")).check()


def test_the_blocking_twin_gives_the_same_and_never_runs_in_a_loop() -> None:
    thread = LoopThread()
    twin = SyncTokenCounter(CounterHandle(ClientRegistry(generation(1, WordCounter())).client("teller")), thread)
    assert twin.count(HI).input_tokens == 2
    assert repr(twin) == "Sync > TokenCounter(teller)"

    async def inside() -> None:
        with pytest.raises(LLMValidationError, match=r"use `await counter\.count") as caught:
            twin.count(HI)
        assert caught.value.reason == "sync_in_loop"

    asyncio.run(inside())
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(twin)
    thread.close(_nothing)


async def _nothing() -> None:
    pass
