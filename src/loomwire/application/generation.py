"""All clients of one configuration, built whole and used until the last of their calls ends."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from types import MappingProxyType

from loomwire.application.embedding.first_use import FurtherChains
from loomwire.application.forks import renew_after_fork
from loomwire.application.pipeline import Parts, build_client
from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import ClientConfig, LLMConfig, Snapshot
from loomwire.domain.errors import UnknownNameError
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.ports.pool import Place
from loomwire.domain.values import listed, masked, may_be_shown


@dataclass(frozen=True, slots=True)
class Entry:
    """One client of a generation.

    Attributes:
        client: Its chain.
        config: What the chain was built from, with what the provider's row knows filled in.
        source: The same as it stands in the snapshot.
        since: The number of the generation for which the chain was built.
        places: What the chain may connect to.
        further: Its embedder, reranker and token counter, built when they are first asked for.
        capabilities: What every target can do that a call may reach.
        total_attempts: How often one call may be sent to all of them.
    """

    client: ILLMClient
    config: ClientConfig
    source: ClientConfig
    since: int
    places: frozenset[Place]
    further: FurtherChains
    capabilities: ModelCapabilities
    total_attempts: int


class Generation:
    """All clients of one configuration. Calls lease it, so that it lives until the last of them ends.

    Args:
        number: Counts up from 1.
        snapshot: The configuration it was built from.
        entries: The clients by name.

    Attributes:
        places: What its clients may connect to.
    """

    __slots__ = ("__weakref__", "_drained", "_leases", "_lock", "entries", "number", "places", "snapshot")

    def __init__(self, number: int, snapshot: Snapshot, entries: Mapping[str, Entry]) -> None:
        """Start without leases."""
        self.number = number
        self.snapshot = snapshot
        self.entries = MappingProxyType(dict(entries))
        self.places: frozenset[Place] = frozenset().union(*(entry.places for entry in entries.values()))
        self._drained: Callable[[Generation], None] | None = None
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Begin with no calls: those of the parent are not here."""
        self._leases = 0
        self._lock = threading.Lock()

    def entry(self, name: str) -> Entry:
        """Return a client.

        Raises:
            UnknownNameError: No such client; the message lists those that exist.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise unknown_name("client", name, self.entries)
        return entry

    def lease(self) -> None:
        """Count a call that uses this generation."""
        with self._lock:
            self._leases += 1

    def release(self) -> None:
        """Count a call off; the last one of a retired generation tells whoever retired it."""
        with self._lock:
            # A forked child may leave a block that its parent entered: that hold was never counted here.
            self._leases = max(0, self._leases - 1)
            drained = self._drained if self._leases < 1 else None
        if drained is not None:
            drained(self)

    def retire(self, drained: Callable[[Generation], None]) -> None:
        """Have `drained` called whenever no call is left: at once, or by the last one, on its thread.

        A call that had found this generation before it was replaced may begin after that, so it may be called again.
        """
        with self._lock:
            self._drained = drained
            idle = self._leases < 1
        if idle:
            drained(self)

    @property
    def leases(self) -> int:
        """How many calls use this generation now."""
        return self._leases


def build_generation(number: int, snapshot: Snapshot, parts: Parts, before: Generation | None = None) -> Generation:
    """Build every client of a configuration. Nothing is in force yet, nothing is connected.

    Args:
        number: Its number.
        snapshot: The configuration.
        parts: What chains are made from.
        before: The chain of a client whose configuration is the same object there is kept.

    Raises:
        ConfigError: A client cannot be built; nothing has changed.
    """
    entries = {}
    kept = {} if before is None else before.entries
    resolved = _Resolved(parts)
    for name, config in snapshot.clients.items():
        known = kept.get(name)
        if known is None or known.source is not config:
            known = _built(number, config, parts, resolved)
        entries[name] = known
    return Generation(number, snapshot, entries)


def renewed_generation(before: Generation, parts: Parts) -> Generation | None:
    """Build the clients anew of whose models something else is known by now; the others keep their chains.

    Args:
        before: What is in force; its configuration stays, and so does its number.
        parts: What chains are made from.

    Returns:
        The same generation with new chains, or None when nothing is different.

    Raises:
        ConfigError: A client cannot be built; nothing has changed.
    """
    entries = {}
    resolved = _Resolved(parts)
    for name, entry in before.entries.items():
        same = resolved.of(entry.source.targets).targets == entry.config.targets
        entries[name] = entry if same else _built(before.number, entry.source, parts, resolved)
    if all(entry is before.entries[name] for name, entry in entries.items()):
        return None
    return Generation(before.number, before.snapshot, entries)


def _built(number: int, source: ClientConfig, parts: Parts, resolved: _Resolved) -> Entry:
    # Once and before anything is built: every layer and every typed call sees what the provider's row knows.
    known = resolved.of(source.targets)
    config = replace(source, targets=known.targets)
    further = FurtherChains(source, parts, config)
    can = reduce(ModelCapabilities.common, (target.capabilities for target in config.targets))
    most = max(target.retry.total_attempts for target in config.targets)
    return Entry(build_client(config, parts), config, source, number, known.places, further, can, most)


@dataclass(frozen=True, slots=True)
class _Known:
    """What targets become, and where they connect to."""

    targets: tuple[LLMConfig, ...]
    places: frozenset[Place]


class _Resolved:
    """Resolves targets, once for all clients that have the same objects as targets."""

    __slots__ = ("_known", "_parts")

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        # The targets stay alive while their generation is built, so an id means one of them.
        self._known: dict[tuple[int, ...], _Known] = {}

    def of(self, targets: tuple[LLMConfig, ...]) -> _Known:
        """Return what is known of some targets; what was found once is not looked for again."""
        key = tuple(map(id, targets))
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._found(targets)
        return known

    def _found(self, targets: tuple[LLMConfig, ...]) -> _Known:
        made = tuple(map(self._parts.factory.resolved, targets))
        first, embedding = targets[0], self._parts.embedding
        asked = (*made, *(() if embedding is None else embedding.places(first)))
        networked = (target for target in asked if target.base_url is not None and target.replay is None)
        places = frozenset((target.base_url or "", target.transport) for target in networked)
        return _Known(made, places)


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a name that nobody defined, with what exists and what was probably meant; not raised."""
    names = sorted(known)
    near = difflib.get_close_matches(name, list(filter(may_be_shown, names)), n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    hint = f"{guess}Configured {kind}s: {listed(names) or 'none'}."
    return UnknownNameError(f"there is no {kind} named {masked(name)!r}", hint=hint)
