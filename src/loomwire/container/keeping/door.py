"""The part of a container that keeps: a host's own values, and what is told of all that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loomwire.application.caching.states import CacheStates
from loomwire.application.registry import ClientRegistry

if TYPE_CHECKING:
    from dependency_injector import containers

    from loomwire.application.caching.values.llm_cache import LLMCache
    from loomwire.application.memory.gate import MemoryGate
    from loomwire.container.keeping.report import CacheReport


class CachingDoor:
    """Keeps values for the host beside the answers of the clients. Safe for threads and event loops."""

    wiring: containers.Container
    _registry: ClientRegistry
    _host_cache: LLMCache | None = None

    @property
    def cache(self) -> LLMCache:
        """What the host keeps itself, such as what a retriever found; always the same object.

        It keeps on the levels that the configuration in force has for all clients.

        Example:
            >>> from loomwire import LLMContainer
            >>> async def found(question: str) -> list[str]:
            ...     async def search() -> list[str]:
            ...         return ["The panda is a bear."]  # ask the vector store
            ...
            ...     async with LLMContainer.aopen("config") as container:
            ...         return await container.cache.remember("passages", question, fetch=search, ttl_s=600)
        """
        found = self._host_cache
        if found is None:
            from loomwire.application.caching.values.llm_cache import LLMCache

            registry = self._registry
            caches: CacheStates = self.wiring.cache_states()
            gate: MemoryGate = self.wiring.parts().gate
            made = LLMCache(caches, lambda: registry.generation.snapshot.cache, begin=gate.begin)
            # Two threads that ask first have to get the same one: it knows what is being fetched.
            found = self.__dict__.setdefault("_host_cache", made)
        return found

    def cache_statistics(self) -> CacheReport:
        """Return what is kept and what caches did so far; never waits, and shows no value."""
        caches: CacheStates = self.wiring.cache_states()
        levels = [level.statistics() for level in caches.stores.levels()]
        from loomwire.container.keeping.report import CacheReport

        return CacheReport(levels, caches.counts(), caches.similar())
