from __future__ import annotations

import asyncio
import threading

import pytest

from loomwire.application.generation import build_generation, unknown_name
from loomwire.application.registry import ClientHandle, ClientRegistry
from loomwire.domain.errors import ClientRemovedError, LLMRateLimitError, UnknownNameError
from loomwire.domain.ports.client import ILLMClient
from loomwire.testing import ScriptedClient
from support.chains import HI, hanging, parts, registry_of, snapshot, turns


async def entered(client: ILLMClient) -> None:
    """Enter a stream and leave it."""
    async with client.stream(HI):
        pass


def test_a_name_has_one_handle_for_ever() -> None:
    registry = registry_of(ScriptedClient(), "planner", "reader")
    assert registry.client("planner") is registry.client("planner")
    assert registry.client("planner") is not registry.client("reader")


def test_a_handle_shows_its_name_and_its_chain() -> None:
    registry = registry_of(ScriptedClient(), "planner")
    handle = registry.client("planner")
    assert repr(handle).startswith("planner: Observe(call) > Admitted > Deadline > ")
    registry.swap(build_generation(2, snapshot(), parts(ScriptedClient())))
    assert repr(handle) == "planner: removed"


async def test_a_handle_asks_the_generation_in_force() -> None:
    registry = registry_of(ScriptedClient(then="old"), "planner")
    handle = registry.client("planner")
    assert (await handle.generate(HI)).text == "old"
    before = registry.swap(build_generation(2, snapshot("planner"), parts(ScriptedClient(then="new"))))
    assert (before.number, registry.generation.number) == (1, 2)
    assert (await handle.generate(HI)).text == "new"
    assert registry.client("planner") is handle


async def test_a_call_in_flight_finishes_on_the_generation_it_began_with() -> None:
    going = asyncio.Event()

    async def slow(_: object) -> str:
        await going.wait()
        return "old"

    registry = registry_of(ScriptedClient(slow), "planner")
    old = registry.generation
    call = asyncio.create_task(registry.client("planner").generate(HI))
    await turns()
    registry.swap(build_generation(2, snapshot("planner"), parts(ScriptedClient())))
    assert old.leases == 1
    going.set()
    assert (await call).text == "old"
    assert (old.leases, registry.generation.leases) == (0, 0)


async def test_a_stream_holds_its_generation_until_it_is_left() -> None:
    registry = registry_of(ScriptedClient("old words"), "planner")
    old = registry.generation
    async with registry.client("planner").stream(HI) as stream:
        registry.swap(build_generation(2, snapshot("planner"), parts(ScriptedClient())))
        assert old.leases == 1
        _ = [event async for event in stream]
    assert stream.response.text == "old words"
    assert old.leases == 0


async def test_a_stream_takes_its_lease_when_it_is_entered_and_not_when_it_is_made() -> None:
    registry = registry_of(ScriptedClient(then="old"), "planner")
    streaming = registry.client("planner").stream(HI)
    registry.swap(build_generation(2, snapshot("planner"), parts(ScriptedClient("new"))))
    async with streaming as stream:
        _ = [event async for event in stream]
    assert stream.response.text == "new"


async def test_failed_calls_and_streams_give_their_lease_back() -> None:
    registry = registry_of(ScriptedClient(then=LLMRateLimitError("slow down")), "planner")
    handle = registry.client("planner")
    with pytest.raises(LLMRateLimitError):
        await handle.generate(HI)
    with pytest.raises(LLMRateLimitError):
        await entered(handle)
    assert registry.generation.leases == 0


async def test_cancelled_calls_and_streams_give_their_lease_back() -> None:
    registry = registry_of(hanging(), "planner")
    handle = registry.client("planner")
    for work in (handle.generate(HI), entered(handle)):
        task = asyncio.create_task(work)
        await turns()
        assert registry.generation.leases == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert registry.generation.leases == 0


async def test_leaving_a_stream_that_was_not_entered_gives_nothing_back() -> None:
    registry = registry_of(ScriptedClient(), "planner")
    await registry.client("planner").stream(HI).__aexit__(None, None, None)
    assert registry.generation.leases == 0


async def test_a_lease_of_several_calls_stays_on_one_generation() -> None:
    registry = registry_of(ScriptedClient(then="old"), "planner")
    with registry.client("planner").lease() as leased:
        registry.swap(build_generation(2, snapshot("planner"), parts(ScriptedClient(then="new"))))
        assert (await leased.client.generate(HI)).text == "old"
        assert leased.total_s == 900.0


async def test_a_client_that_was_removed_says_so_to_those_who_hold_it() -> None:
    registry = registry_of(ScriptedClient(), "planner")
    handle = registry.client("planner")
    registry.swap(build_generation(2, snapshot("reader"), parts(ScriptedClient())))
    with pytest.raises(ClientRemovedError, match="'planner' was removed from the configuration") as caught:
        await handle.generate(HI)
    assert caught.value.reason == "client_removed"
    with pytest.raises(ClientRemovedError):
        await entered(handle)
    with pytest.raises(UnknownNameError):
        registry.client("planner")


async def test_a_closed_registry_refuses_new_calls_and_lets_the_old_ones_finish() -> None:
    going = asyncio.Event()

    async def slow(_: object) -> str:
        await going.wait()
        return "still here"

    registry = registry_of(ScriptedClient(slow), "planner")
    handle = registry.client("planner")
    call = asyncio.create_task(handle.generate(HI))
    await turns()
    registry.close()
    with pytest.raises(ClientRemovedError, match="after its container was closed") as caught:
        await handle.generate(HI)
    assert caught.value.reason == "closed"
    assert registry.closed
    going.set()
    assert (await call).text == "still here"


def test_an_unknown_name_lists_what_exists_and_what_was_probably_meant() -> None:
    registry = registry_of(ScriptedClient(), "reader", "planner")
    with pytest.raises(UnknownNameError, match="there is no client named 'planer'") as caught:
        registry.client("planer")
    assert caught.value.hint == "Did you mean 'planner'? Configured clients: planner, reader."


@pytest.mark.parametrize(("known", "hint"), [((), "Configured ports: none."), (("zebra",), "Configured ports: zebra.")])
def test_an_unknown_name_far_from_all_others_is_not_guessed_at(known: tuple[str, ...], hint: str) -> None:
    assert unknown_name("port", "abc", known).hint == hint


def test_names_that_look_like_keys_are_neither_listed_nor_guessed_nor_repeated() -> None:
    error = unknown_name("client", "sk-live-2", ("sk-live-1", "planner"))
    assert error.message == "there is no client named '***'"
    assert error.hint == "Configured clients: planner, ***."


def test_threads_get_one_handle_and_lose_no_lease_while_generations_are_swapped() -> None:
    leaf = ScriptedClient(then="Hello.")
    registry = registry_of(leaf, "planner")
    generations = [build_generation(number, snapshot("planner"), parts(leaf)) for number in range(2, 30)]
    handles: list[ClientHandle] = []

    async def calls(handle: ILLMClient) -> None:
        for _ in range(20):
            await handle.generate(HI)

    def work() -> None:
        handle = registry.client("planner")
        handles.append(handle)
        asyncio.run(calls(handle))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    old = [registry.swap(generation) for generation in generations]
    for thread in threads:
        thread.join()
    assert len(set(map(id, handles))) == 1
    assert len(leaf.requests) == 120
    assert [generation.leases for generation in (*old, registry.generation)] == [0] * 29


def test_the_registry_starts_with_the_generation_it_was_given() -> None:
    generation = build_generation(1, snapshot("planner", digest="abc"), parts(ScriptedClient()))
    registry = ClientRegistry(generation)
    assert registry.generation is generation
    assert not registry.closed
