from __future__ import annotations

from dataclasses import replace

from loomwire.application.generation import Generation, build_generation
from loomwire.application.pinned import PinnedRegistry
from loomwire.application.registry import ClientRegistry
from loomwire.application.reload.drains import DRAIN_S, Drains
from loomwire.domain.config import ClientConfig
from loomwire.testing import FakeClock, ScriptedClient
from support.chains import parts, target
from support.reloading import NotingPool, named

MADE = parts(ScriptedClient())


def at(name: str, url: str) -> ClientConfig:
    """Return a client that asks a place."""
    return ClientConfig(name=name, targets=(replace(target(), base_url=url),))


def generation(number: int, *clients: ClientConfig) -> Generation:
    """Return a generation of these clients."""
    return build_generation(number, named(*clients, digest=str(number)), MADE)


class World:
    """A registry, a pool that notes, and drains between them."""

    def __init__(self, first: Generation) -> None:
        self.pool = NotingPool()
        self.clock = FakeClock()
        self.registry = ClientRegistry(first)
        self.drains = Drains(self.pool, self.clock, lambda: self.registry.generation)

    def swap(self, after: Generation) -> Generation:
        """Put a generation in force and let go of the one before."""
        before = self.registry.swap(after)
        self.drains.retire(before)
        return before

    @property
    def closed(self) -> list[set[str]]:
        """The base URLs that are gone, closing by closing."""
        return [{url for url, _ in gone} for gone, _ in self.pool.closed]


A, B = at("a", "http://a"), at("b", "http://b")


def test_places_that_nobody_uses_any_more_are_closed_at_once() -> None:
    world = World(generation(1, A, B))
    world.swap(generation(2, A))
    assert world.closed == [{"http://b"}]
    assert {url for url, _ in world.pool.closed[0][1]} == {"http://a"}


def test_nothing_is_closed_when_every_place_is_still_used() -> None:
    world = World(generation(1, A))
    world.swap(generation(2, A, B))
    assert world.closed == []


def test_a_call_in_flight_keeps_the_places_of_its_generation_until_it_ends() -> None:
    world = World(generation(1, A, B))
    pinned = PinnedRegistry(world.registry, world.registry.generation)
    world.swap(generation(2, A))
    assert (world.closed, world.drains.waiting, world.drains.leases) == ([], 1, 1)
    pinned.release()
    assert (world.closed, world.drains.waiting) == ([{"http://b"}], 0)


def test_a_place_that_an_older_generation_still_uses_stays() -> None:
    world = World(generation(1, A, B))
    oldest = PinnedRegistry(world.registry, world.registry.generation)
    world.swap(generation(2, B))
    world.swap(generation(3))
    assert world.closed == []
    oldest.release()
    assert world.closed == [{"http://a", "http://b"}]


async def test_past_the_deadline_what_is_idle_is_closed_and_no_call_is_cut_off() -> None:
    world = World(generation(1, A))
    pinned = PinnedRegistry(world.registry, world.registry.generation)
    world.swap(generation(2, B))
    await world.clock.advance(DRAIN_S - 1)
    world.drains.sweep()
    assert world.closed == []
    await world.clock.advance(1)
    world.drains.sweep()
    assert world.closed == [{"http://a"}]
    assert (world.drains.waiting, pinned.closed) == (1, False)
    pinned.release()
    assert world.drains.waiting == 0


def test_a_call_that_began_just_after_the_swap_ends_like_any_other() -> None:
    world = World(generation(1, A))
    before = world.swap(generation(2, B))
    before.lease()
    before.release()
    assert world.closed == [{"http://a"}] * 2


def test_a_child_waits_for_no_call_of_its_parent() -> None:
    world = World(generation(1, A))
    pinned = PinnedRegistry(world.registry, world.registry.generation)
    world.swap(generation(2, B))
    world.drains.after_fork()
    assert world.drains.waiting == 0
    pinned.release()
