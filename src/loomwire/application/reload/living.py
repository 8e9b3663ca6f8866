"""Keeps what is known of clients and targets in line with the configuration in force."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import chain

from loomwire.application.generation import Generation
from loomwire.application.pipeline import Parts, build_client, client_key, target_key
from loomwire.domain.caching.policies import CachePolicy


def forget_removed(living: Collection[Generation], parts: Parts) -> None:
    """Forget what is known of clients and targets that are in no generation any more.

    Called while no other generation is being built: what that one is made from would be forgotten too.

    Args:
        living: The generation in force, and those that still have calls.
        parts: What their chains are made from.
    """
    clients = {name for generation in living for name in generation.entries}
    entries = (entry for generation in living for entry in generation.entries.values())
    # Most clients share what they ask.
    targets = {id(target): target for entry in entries for target in entry.config.targets}.values()
    parts.states.retain(targets)
    parts.states.panics.retain(clients)
    parts.stats.retain({*map(client_key, clients), *map(target_key, targets)})
    if parts.caches is not None:
        parts.caches.retain(clients, chain.from_iterable(policy.levels for policy in _policies(living)))


def _policies(living: Collection[Generation]) -> Iterator[CachePolicy]:
    for generation in living:
        # What the host keeps itself is kept as clients do that say nothing.
        yield generation.snapshot.cache
        yield from (entry.config.cache for entry in generation.entries.values())


def restate(generation: Generation, parts: Parts) -> None:
    """Put the thresholds and limits of a generation in force again, after another one could not be built whole.

    Building a chain adapts the living circuits and lanes of its targets; what was counted in them stays.
    """
    for entry in generation.entries.values():
        # Chains that were built once are built again; where a host's factory changed its mind, the others go on.
        with suppress(Exception):
            build_client(entry.config, parts)
