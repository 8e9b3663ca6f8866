from __future__ import annotations

import pickle

import pytest

from loomwire.application.generation import build_generation
from loomwire.application.pinned import PinnedRegistry
from loomwire.application.registry import ClientRegistry, Reduced
from loomwire.domain.errors import ClientRemovedError, UnknownNameError
from loomwire.domain.ports.client import ILLMClient
from loomwire.testing import ScriptedClient
from support.chains import HI, parts, registry_of, snapshot


def swapped(registry: ClientRegistry, *names: str) -> None:
    """Put a generation in force whose clients answer `new`."""
    registry.swap(build_generation(2, snapshot(*names), parts(ScriptedClient(then="new"))))


async def test_a_pinned_client_answers_from_its_generation_also_when_it_was_removed() -> None:
    registry = registry_of(ScriptedClient(then="old"), "planner")
    pinned = PinnedRegistry(registry, registry.generation)
    inner = pinned.pinned()
    swapped(registry, "reader")
    handle = pinned.client("planner")
    assert (await handle.generate(HI)).text == "old"
    assert (await inner.client("planner").generate(HI)).text == "old"
    with pytest.raises(UnknownNameError):
        pinned.client("reader")
    assert pinned.generation.number == inner.generation.number == 1


async def test_a_run_that_ended_refuses_calls_and_an_inner_one_goes_on() -> None:
    registry = registry_of(ScriptedClient(then="old"), "planner")
    generation = registry.generation
    pinned = PinnedRegistry(registry, generation)
    inner = pinned.pinned()
    handle = pinned.client("planner")
    assert generation.leases == 2
    pinned.release()
    pinned.release()
    assert generation.leases == 1
    with pytest.raises(ClientRemovedError, match="after its pinned run ended") as caught:
        await handle.generate(HI)
    assert caught.value.reason == "closed"
    assert (await inner.client("planner").generate(HI)).text == "old"
    with pytest.raises(ClientRemovedError, match="inside one that had ended") as refused:
        pinned.pinned()
    assert refused.value.reason == "closed"
    assert generation.leases == 1


def test_a_closed_container_closes_its_runs() -> None:
    registry = registry_of(ScriptedClient(), "planner")
    pinned = PinnedRegistry(registry, registry.generation)
    registry.close()
    assert pinned.closed


def found_again(root: str, name: str) -> ILLMClient:
    """Stand for the function that finds a client in another process."""
    return ScriptedClient(then=f"{root}/{name}")


async def test_a_client_with_a_home_is_pickled_as_its_place_and_a_pinned_one_is_not() -> None:
    registry = registry_of(ScriptedClient(), "planner")
    pinned = PinnedRegistry(registry, registry.generation)
    with pytest.raises(TypeError, match="send its name"):
        pickle.dumps(registry.client("planner"))

    def home(name: str, blocking: bool) -> Reduced:
        return found_again, ("root", name)

    registry.home = home
    again: ILLMClient = pickle.loads(pickle.dumps(registry.client("planner")))
    assert (await again.generate(HI)).text == "root/planner"
    with pytest.raises(TypeError, match="send its name"):
        pickle.dumps(pinned.client("planner"))
