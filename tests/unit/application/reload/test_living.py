"""What is known of clients and targets outlives a reload, and goes with the last generation that has them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from typing_extensions import override

from loomwire.application.pipeline import Parts, client_key, target_key
from loomwire.application.registry import ClientRegistry
from loomwire.application.state.stats import CallStats
from loomwire.application.state.targets import TargetStates
from loomwire.domain.config import ClientConfig, LLMConfig, Snapshot
from loomwire.domain.policies import BreakerPolicy, RatePolicy
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.testing import ScriptedClient
from support.chains import HI
from support.reloading import good, named, store_of


class AnyFactory(ILLMClientFactory):
    """Builds every model but those it was told not to."""

    def __init__(self) -> None:
        self.broken: set[str] = set()

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        if config.model in self.broken:
            raise RuntimeError("no")
        return ScriptedClient(then="answer")


@pytest.fixture
def made() -> Parts:
    """Return parts whose factory builds any model."""
    clock = SystemClock()
    return Parts(AnyFactory(), clock, CallStats(), TargetStates(clock))


def asks(name: str, model: str, provider: str = "vendor", rpm: int = 600, consecutive: int = 8) -> ClientConfig:
    """Return a client of one model."""
    target = LLMConfig(
        type="scripted",
        name=provider,
        model=model,
        rate=RatePolicy(rpm=rpm, burst_s=60.0),
        breaker=BreakerPolicy(consecutive=consecutive),
    )
    return ClientConfig(name=name, targets=(target,))


def configured(number: int, clients: Iterable[ClientConfig]) -> Snapshot:
    """Return a configuration with a digest of its own."""
    return replace(named(*clients, digest=str(number)), allow_shrink=True)


def circuits(made: Parts) -> list[str]:
    """Return the targets that have a circuit."""
    return [status.name for status in made.states.circuits.statuses() if "/" in status.name]


async def call(registry: ClientRegistry, name: str) -> str:
    """Ask a client."""
    return (await registry.client(name).generate(HI)).text


async def test_a_thousand_reloads_with_ever_new_names_leave_what_one_configuration_needs(made: Parts) -> None:
    def later(number: int) -> Snapshot:
        return configured(number, [asks("stays", "m"), asks(f"c{number}", f"m{number}", f"p{number}")])

    store, registry = store_of(later(0), *(good(later(number)) for number in range(1, 1001)), made=made)
    assert await call(registry, "stays") == "answer"
    for number in range(1, 1001):
        assert store.reload().outcome == "adopted"
        if number % 100 == 0:
            assert await call(registry, f"c{number}") == "answer"
    assert circuits(made) == ["p1000/m1000", "vendor/m"]
    assert {lane.endpoint for lane in made.states.slots.statistics()} == {"vendor", "p1000"}
    assert {load.provider for load in made.states.loads.readings(0.0)} <= {"vendor", "p1000"}
    assert made.stats.counts(client_key("stays")).answered == 1
    assert [made.stats.counts(client_key(f"c{number}")).answered for number in (900, 1000)] == [0, 1]
    tables = (made.states.retry_tokens._buckets, made.states.latencies._windows, made.states.panics._gates)
    assert all(len(table) <= 2 for table in tables)
    assert len(made.stats._tallies) == 4


async def test_what_a_draining_generation_asks_is_kept_until_the_next_edit_after_its_end(made: Parts) -> None:
    steps = ([asks("old", "m")], [asks("new", "n")], [asks("new", "o")])
    first, *edits = (configured(number, clients) for number, clients in enumerate(steps))
    store, registry = store_of(first, *map(good, edits), made=made)
    leased = registry.generation
    leased.lease()
    store.reload()
    assert circuits(made) == ["vendor/m", "vendor/n"]
    leased.release()
    store.reload()
    assert circuits(made) == ["vendor/o"]


async def test_a_changed_threshold_or_limit_acts_on_the_living_state(made: Parts) -> None:
    edits = (asks("a", "m"), asks("a", "m", rpm=1200, consecutive=2))
    store, registry = store_of(configured(0, edits[:1]), good(configured(1, edits[1:])), made=made)
    assert await call(registry, "a") == "answer"
    circuit = made.states.circuits.find("vendor/m")
    ((lane, before),) = made.states.slots.statistics().items()
    store.reload()
    assert made.states.circuits.find("vendor/m") is circuit
    assert (circuit.policy.consecutive, circuit.status().calls) == (2, 1)
    assert made.states.slots.lane(lane, RatePolicy(rpm=1200, burst_s=60.0)).policy.rpm == 1200
    assert made.states.slots.statistics()[lane].granted == before.granted == 1
    assert made.stats.counts(target_key(edits[0].targets[0])).answered == 1


async def test_an_edit_that_cannot_be_built_leaves_thresholds_and_limits_as_they_were(made: Parts) -> None:
    edited = [asks("a", "m", rpm=1, consecutive=1), asks("b", "bad")]
    store, _ = store_of(configured(0, [asks("a", "m")]), good(configured(1, edited)), made=made)
    factory = made.factory
    assert isinstance(factory, AnyFactory)
    factory.broken = {"bad"}
    assert store.reload().outcome == "rejected"
    assert made.states.circuits.find("vendor/m").policy.consecutive == 8
    ((lane, _),) = made.states.slots.statistics().items()
    assert made.states.slots._lanes[lane].policy.rpm == 600
    factory.broken = {"bad", "m"}
    assert store.reload().outcome == "rejected"
