from __future__ import annotations

import threading
from dataclasses import replace

from dependency_injector import containers, providers

from loomwire.application.generation import build_generation
from loomwire.application.pipeline import Parts
from loomwire.application.registry import ClientRegistry
from loomwire.container.keeping.door import CachingDoor
from loomwire.domain.caching.policies import CachePolicy, MemoryLevel
from loomwire.testing import ScriptedClient
from support.chains import parts, snapshot
from support.shelves import DictStore, OneStore, states_over


class Door(CachingDoor):
    """What a container has of it."""

    def __init__(self, made: ClientRegistry, works: Parts) -> None:
        self.states = states_over(DictStore())
        self.wiring = containers.DynamicContainer()
        self.wiring.cache_states = providers.Object(self.states)
        self.wiring.parts = providers.Object(works)
        self._registry = made


def door(policy: CachePolicy | None = None) -> Door:
    config = replace(snapshot("planner"), cache=policy or CachePolicy())
    works = parts(ScriptedClient(then="Hello."))
    return Door(ClientRegistry(build_generation(1, config, works)), works)


async def test_a_host_keeps_on_the_levels_of_the_configuration_in_force() -> None:
    levels = (MemoryLevel(1000, "lfu"),)
    made = door(CachePolicy(levels=levels))
    await made.cache.set("passages", "q", value=["a"])
    assert await made.cache.get("passages", "q") == ["a"]
    stores = made.states.stores
    assert isinstance(stores, OneStore)
    assert set(stores.asked) == {levels}


def test_everybody_gets_the_same_cache() -> None:
    made = door()
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(made.cache)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


async def test_statistics_show_levels_and_clients_and_no_value() -> None:
    made = door()
    made.states.tally("planner").note("hits")
    await made.cache.set("passages", "q", value="secret")
    report = made.cache_statistics()
    assert (report.levels[0].entries, report.clients["planner"].hits, report.similar) == (1, 1, {})
    told = report.to_dict()
    assert sorted(told) == ["clients", "levels", "similar"]
    assert "secret" not in str(told)
