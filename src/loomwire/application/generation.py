"""All clients of one configuration, built whole and used until the last of their calls ends."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from loomwire.application.forks import renew_after_fork
from loomwire.application.pipeline import Parts, build_client
from loomwire.domain.config import ClientConfig, Snapshot
from loomwire.domain.ports.client import ILLMClient


@dataclass(frozen=True, slots=True)
class Entry:
    """One client of a generation: its chain and the configuration it was built from."""

    client: ILLMClient
    config: ClientConfig


class Generation:
    """All clients of one configuration. Calls lease it, so that it lives until the last of them ends.

    Args:
        number: Counts up from 1.
        snapshot: The configuration it was built from.
        entries: The clients by name.
    """

    __slots__ = ("__weakref__", "_leases", "_lock", "entries", "number", "snapshot")

    def __init__(self, number: int, snapshot: Snapshot, entries: Mapping[str, Entry]) -> None:
        """Start without leases."""
        self.number = number
        self.snapshot = snapshot
        self.entries = MappingProxyType(dict(entries))
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Begin with no calls: those of the parent are not here."""
        self._leases = 0
        self._lock = threading.Lock()

    def lease(self) -> None:
        """Count a call that uses this generation."""
        with self._lock:
            self._leases += 1

    def release(self) -> None:
        """Count a call off."""
        with self._lock:
            self._leases -= 1

    @property
    def leases(self) -> int:
        """How many calls use this generation now."""
        return self._leases


def build_generation(number: int, snapshot: Snapshot, parts: Parts) -> Generation:
    """Build every client of a configuration. Nothing is in force yet, nothing is connected.

    Raises:
        ConfigError: A client cannot be built; nothing has changed.
    """
    entries = {}
    for name, config in snapshot.clients.items():
        # Once and before anything is built: every layer and every typed call sees what the provider's row knows.
        known = replace(config, targets=tuple(parts.factory.resolved(target) for target in config.targets))
        entries[name] = Entry(build_client(known, parts), known)
    return Generation(number, snapshot, entries)
