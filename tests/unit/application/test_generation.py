from __future__ import annotations

from dataclasses import replace

from typing_extensions import override

from loomwire.application.generation import build_generation
from loomwire.domain.config import ClientConfig, LLMConfig, Snapshot
from loomwire.testing import ScriptedClient
from support.chains import ScriptedFactory, parts, registry_of, target


class Resolving(ScriptedFactory):
    """Notes what it is asked to resolve."""

    def __init__(self) -> None:
        super().__init__({"m": ScriptedClient(), "n": ScriptedClient()})
        self.asked: list[str] = []

    @override
    def resolved(self, config: LLMConfig) -> LLMConfig:
        self.asked.append(config.model)
        return replace(config, base_url=f"https://{config.model}.example/v1")


async def test_a_generation_cannot_be_changed_from_outside() -> None:
    entries = registry_of(ScriptedClient(), "planner").generation.entries
    assert not hasattr(entries, "clear")
    assert not hasattr(entries, "__setitem__")


async def test_a_forked_child_that_leaves_its_parents_block_counts_only_calls_of_its_own() -> None:
    generation = registry_of(ScriptedClient(), "planner").generation
    generation.lease()
    generation.after_fork()
    generation.release()
    assert generation.leases == 0
    generation.lease()
    drained: list[int] = []
    generation.retire(lambda each: drained.append(each.number))
    assert drained == []
    generation.release()
    assert drained == [1]


async def test_clients_with_the_same_targets_have_them_resolved_once() -> None:
    factory, one, other = Resolving(), target("m"), target("n")
    targets = {"a": (one,), "b": (one,), "c": (other,), "d": (one, other)}
    clients = {name: ClientConfig(name=name, targets=each) for name, each in targets.items()}
    snapshot = Snapshot(digest="x", clients=clients, models={})
    made = build_generation(1, snapshot, replace(parts(ScriptedClient()), factory=factory)).entries
    assert factory.asked == ["m", "n", "m", "n"]
    assert made["a"].config.targets[0] is made["b"].config.targets[0]
    assert made["a"].places is made["b"].places
    assert {url for url, _ in made["d"].places} == {"https://m.example/v1", "https://n.example/v1"}
    assert {url for url, _ in made["c"].places} == {"https://n.example/v1"}
