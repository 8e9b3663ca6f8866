from __future__ import annotations

import threading
from dataclasses import replace

from dependency_injector import containers, providers

from loomwire.application.registry import ClientRegistry
from loomwire.container.keeping.door import CachingDoor
from loomwire.domain.caching.policies import CachePolicy, MemoryLevel
from loomwire.domain.config import ClientConfig
from loomwire.testing import ScriptedClient
from support.chains import named, parts, registry, target
from support.shelves import DictStore, OneStore, states_over


class Door(CachingDoor):
    """What a container has of it."""

    def __init__(self, made: ClientRegistry) -> None:
        self.states = states_over(DictStore())
        self.wiring = containers.DynamicContainer()
        self.wiring.cache_states = providers.Object(self.states)
        self._registry = made
