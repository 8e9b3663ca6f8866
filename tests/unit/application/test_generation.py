from __future__ import annotations

from loomwire.testing import ScriptedClient
from support.chains import registry_of


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
