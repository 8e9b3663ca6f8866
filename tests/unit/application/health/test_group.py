"""All models as one: whoever is named is asked, in that order, under the generation in force."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest
from typing_extensions import override

from loomwire.application.generation import build_generation
from loomwire.application.health.group import KEPT, NAME, ProviderGroup
from loomwire.application.health.monitor import ProviderHealthMonitor
from loomwire.application.pipeline import Parts, client_key
from loomwire.application.registry import ClientRegistry
from loomwire.domain.config import ClientConfig, LLMConfig, Snapshot
from loomwire.domain.errors import ClientRemovedError, ConfigError, LLMError, LLMValidationError, UnknownNameError
from loomwire.domain.policies import BalancePolicy, HealthPolicy, RetryPolicy
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.reports.reach import Reach
from loomwire.domain.requests import LLMRequest
from loomwire.testing import ScriptedClient
from support.chains import HI, ScriptedFactory, never, parts

AS_LISTED = BalancePolicy()


def model(name: str) -> LLMConfig:
    """Return a target that is sent to once."""
    return LLMConfig(type="scripted", name="vendor", model=name, retry=RetryPolicy(attempts=1))


async def nobody(target: LLMConfig, policy: HealthPolicy) -> Reach:
    """Look at nobody."""
    return Reach(answered=True)


class CountingFactory(ScriptedFactory):
    """Remembers for which models it made clients."""

    def __init__(self, clients: Mapping[str, ILLMClient]) -> None:
        super().__init__(clients)
        self.created: list[str] = []

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        self.created.append(config.model)
        return super().create(config)


class Scene:
    """Two clients with the models `a` and `b`, a third model that no client has, and the group of them."""

    def __init__(self, leaves: Mapping[str, ILLMClient]) -> None:
        self.factory = CountingFactory(leaves)
        self.parts: Parts = replace(parts(leaves), factory=self.factory)
        self.registry = ClientRegistry(build_generation(1, self.snapshot(), self.parts))
        self.monitor = ProviderHealthMonitor(self.registry, self.parts, nobody)
        self.group = ProviderGroup(self.registry, self.parts, self.monitor)

    def snapshot(self) -> Snapshot:
        """Return the configuration."""
        clients = {name: ClientConfig(name=name, targets=(model(name),)) for name in ("a", "b")}
        return Snapshot(digest="d", clients=clients, models={name: model(name) for name in ("a", "b", "c")})


def leaves(**says: ILLMClient) -> dict[str, ILLMClient]:
    """Return a client for each model."""
    return {name: says.get(name, ScriptedClient(then=f"I am {name}.")) for name in ("a", "b", "c")}


async def test_the_models_of_all_clients_are_asked_in_their_order_unless_some_are_named() -> None:
    scene = Scene(leaves())
    assert (await scene.group.generate(HI, None, AS_LISTED)).text == "I am a."
    assert (await scene.group.generate(HI, ["b", "a"], AS_LISTED)).text == "I am b."
    assert (await scene.group.generate(HI, ["c"], AS_LISTED)).text == "I am c."
    assert (await scene.group.generate(HI, ["vendor/b"], AS_LISTED)).text == "I am b."
    assert scene.parts.stats.counts(client_key(NAME)).answered == 4
    assert scene.registry.generation.leases == 0
    assert [health.provider for health in scene.group.health()] == ["vendor"]
    assert scene.group.stats().overall.answered == 3  # `c` is of no client in force
    assert [health.reachable for health in await scene.group.look("vendor")] == [True]


async def test_a_choice_is_built_once_for_each_generation() -> None:
    scene = Scene(leaves())
    await scene.group.generate(HI, None, AS_LISTED)
    built = len(scene.factory.created)
    await scene.group.generate(HI, None, AS_LISTED)
    assert len(scene.factory.created) == built
    scene.registry.swap(build_generation(2, scene.snapshot(), scene.parts))
    before = len(scene.factory.created)
    await scene.group.generate(HI, None, AS_LISTED)
    assert scene.factory.created[before:] == ["a", "b"]
    for warmup_s in range(KEPT + 3):
        await scene.group.generate(HI, ["a"], BalancePolicy(warmup_s=warmup_s))
    # Whoever makes up choices does not fill the memory with them.
    assert scene.group.kept <= KEPT
    scene.group.after_fork()
    assert (await scene.group.generate(HI, None, AS_LISTED)).text


async def test_what_is_no_choice_is_refused() -> None:
    scene = Scene(leaves())
    with pytest.raises(UnknownNameError, match="nobody"):
        await scene.group.generate(HI, ["nobody"], AS_LISTED)
    with pytest.raises(ConfigError, match="no models to choose from"):
        await scene.group.generate(HI, [], AS_LISTED)
    with pytest.raises(LLMValidationError, match="takes an LLMRequest"):
        await scene.group.generate("Hi", None, AS_LISTED)  # type: ignore[arg-type]  # what untyped code does
    scene.registry.close()
    with pytest.raises(ClientRemovedError) as caught:
        await scene.group.generate(HI, None, AS_LISTED)
    assert caught.value.reason == "closed"
    assert scene.registry.generation.leases == 0


async def test_a_call_holds_the_generation_it_began_with_and_lets_go_however_it_ends() -> None:
    reached = asyncio.Event()

    async def hang(request: LLMRequest) -> str:
        reached.set()
        return await never()

    scene = Scene(leaves(a=ScriptedClient(then=hang)))
    call = asyncio.create_task(scene.group.generate(LLMRequest.of("Hi"), ["a"], AS_LISTED))
    await asyncio.wait_for(reached.wait(), 5)
    assert scene.registry.generation.leases == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert scene.registry.generation.leases == 0
    with pytest.raises(LLMError):
        await scene.group.generate(LLMRequest.of("Hi", deadline_s=0.01), ["a"], AS_LISTED)
    assert scene.registry.generation.leases == 0
