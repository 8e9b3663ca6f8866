from __future__ import annotations

from loomwire.testing import ScriptedClient
from support.chains import registry_of


async def test_a_generation_cannot_be_changed_from_outside() -> None:
    entries = registry_of(ScriptedClient(), "planner").generation.entries
    assert not hasattr(entries, "clear")
    assert not hasattr(entries, "__setitem__")
