"""The part of a container that keeps its memory bounded."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

from loomwire.application.memory.manager import MemoryManager
from loomwire.application.pipeline import Parts
from loomwire.application.reload.manager import LLMConfigManager
from loomwire.domain.config import Snapshot
from loomwire.domain.ports.memory import IMemoryHolder, IMemoryProbe

if TYPE_CHECKING:
    from dependency_injector import containers


class MemoryDoor:
    """Tells who holds memory, and has it given back. Safe for threads and event loops."""

    wiring: containers.Container

    @property
    def memory(self) -> MemoryManager:
        """What keeps the memory of the process bounded: `report()`, `track_memory_usage()`, `on_change()`."""
        manager: MemoryManager = self.wiring.memory_manager()
        return manager


def memory_manager(parts: Parts, probe: IMemoryProbe, snapshot: Snapshot) -> MemoryManager:
    """Return the manager of a container, which looks at nothing yet.

    Args:
        parts: Has the gate that it closes and the caches that it shrinks.
        probe: Looks at the process.
        snapshot: Says what holds at the beginning.
    """
    caches, now, draw = parts.caches, parts.clock.now, parts.draw
    if caches is None:
        return MemoryManager(probe, parts.gate, snapshot.memory, now=now, draw=draw)
    # Weakly, because what caches know leads to the gate and so back here: a look that is under way while the container
    # is collected would keep all of it, until somebody collects again.
    known = weakref.ref(caches)

    def remembered() -> Iterable[IMemoryHolder]:
        """Return what clients that compare questions remember."""
        living = known()
        return () if living is None else living.memory_holders()

    return MemoryManager(probe, parts.gate, snapshot.memory, caches.stores, holders=remembered, now=now, draw=draw)


def keep_bounded(manager: MemoryManager, configs: LLMConfigManager) -> None:
    """Have the first call begin the looking, and what a new configuration says hold.

    Args:
        manager: Held weakly; every client of the container holds it.
        configs: Whose changes it follows.
    """
    held = weakref.ref(manager)

    def follow(_old: Snapshot, new: Snapshot, _diff: object) -> None:
        living = held()
        if living is not None:
            living.adapt(new.memory)

    configs.on_config_updated(follow)
    manager.arm()
