"""What may be asked of the caches of a running container, and how they are purged."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from loomwire.application.caching.keys import SHARED
from loomwire.application.caching.states import CacheStates
from loomwire.application.embedding.shelf import namespace_of
from loomwire.domain.caching.entries import EntryFacts
from loomwire.domain.config import ClientConfig
from loomwire.domain.errors import UnknownNameError
from loomwire.domain.values import JSON, masked

MOST_SHOWN: Final = 1000
"""Entries that are told at most."""


def told(caches: CacheStates) -> dict[str, JSON]:
    """Return what every level holds and did, and what the caches of each client did; nothing waits."""
    levels: list[JSON] = [level.statistics().to_dict() for level in caches.stores.levels()]
    clients: dict[str, JSON] = {name: counts.to_dict() for name, counts in caches.counts().items()}
    return {"levels": levels, "clients": clients}


async def listed(caches: CacheStates, namespaces: Sequence[str | None], limit: int) -> dict[str, JSON]:
    """Return facts of entries, those that were asked for most often first; never a value.

    Args:
        caches: Whose.
        namespaces: Of which; None is all of them.
        limit: How many at most.
    """
    asked = [level.entries(namespace, limit) for level in caches.stores.levels() for namespace in namespaces]
    found: list[EntryFacts] = [facts for some in await asyncio.gather(*asked) for facts in some]
    found.sort(key=lambda facts: facts.hits, reverse=True)
    return {"entries": [facts.to_dict() for facts in found[:limit]]}


async def purged(caches: CacheStates, namespaces: Sequence[str | None]) -> dict[str, JSON]:
    """Forget everything, or what is kept in namespaces, on every level.

    Returns:
        The namespaces, the levels by name, and those whose server or file did not do it yet: nothing is got from these
        before they have.
    """
    levels = caches.stores.levels()
    before = [level.statistics().errors for level in levels]
    for namespace in namespaces:
        await caches.purge(namespace)
    after = [level.statistics() for level in levels]
    owing: list[JSON] = [now.level for errors, now in zip(before, after, strict=True) if now.errors > errors]
    return {"namespaces": [*namespaces], "levels": [now.level for now in after], "owing": owing}


async def namespaces_of(caches: CacheStates, clients: Mapping[str, ClientConfig], name: str) -> tuple[str, ...]:
    """Return where the answers of a client are kept, or a namespace of the host that something is kept in.

    Raises:
        UnknownNameError: There is neither.
    """
    client = clients.get(name)
    if client is not None:
        own = namespace_of(name)
        return (own, SHARED) if client.cache.scope == "shared" else (own,)
    held = await asyncio.gather(*(level.entries(name, 1) for level in caches.stores.levels()))
    if any(held):
        return (name,)
    hint = f"There are the clients {', '.join(sorted(clients))}."
    raise UnknownNameError(f"there is no client {masked(name)!r}, and nothing is kept under that name", hint=hint)
