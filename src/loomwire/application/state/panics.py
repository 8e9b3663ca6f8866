"""How often a client whose targets are all left alone may try one all the same. Outlives every reload."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection

from loomwire.application.forks import renew_after_fork


class Gate:
    """Lets a few calls a second through. Safe from any thread and loop."""

    __slots__ = ("_lock", "_next")

    def __init__(self) -> None:
        """Let the next call through."""
        self._lock = threading.Lock()
        self._next = -math.inf

    def opens(self, now: float, per_s: float) -> bool:
        """Let a call through unless another one was less than 1/`per_s` seconds ago; 0 lets none through."""
        if per_s <= 0:
            return False
        with self._lock:
            if now < self._next:
                return False
            self._next = now + 1 / per_s
            return True

    def after_fork(self) -> None:
        """Take a lock of its own in a child."""
        self._lock = threading.Lock()


class Panics:
    """The gates of all clients. Safe for several threads."""

    def __init__(self) -> None:
        """Start without clients."""
        self._gates: dict[str, Gate] = {}
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Go on in a child; another thread of the parent may have held a lock."""
        self._lock = threading.Lock()
        for gate in self._gates.values():
            gate.after_fork()

    def gate(self, client: str) -> Gate:
        """Return the gate of a client, the same one for ever. Called at build time."""
        with self._lock:
            return self._gates.get(client) or self._gates.setdefault(client, Gate())

    def retain(self, clients: Collection[str]) -> None:
        """Forget the gates of all other clients."""
        with self._lock:
            self._gates = {name: gate for name, gate in self._gates.items() if name in clients}
