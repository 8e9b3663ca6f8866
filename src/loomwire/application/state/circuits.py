"""The circuits of all targets: one for each model of an endpoint, and one for the endpoint as a whole."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection

from loomwire.application.forks import renew_after_fork
from loomwire.application.state.breaking.circuit import LEASE_S, Circuit
from loomwire.application.state.breaking.endpoint import Endpoint, TargetCircuit
from loomwire.application.state.breaking.permits import CircuitStatus
from loomwire.domain.errors import UnknownNameError
from loomwire.domain.policies import BreakerPolicy


class Circuits:
    """The circuits of all targets. They outlive every reload: the same name is the same circuit.

    Safe from any thread and loop.

    Args:
        now: Monotonic seconds.
        draw: A random number from 0 to 1, for the jitter.
    """

    def __init__(self, *, now: Callable[[], float] = time.monotonic, draw: Callable[[], float] = random.random) -> None:
        """Start without circuits."""
        self._now = now
        self._draw = draw
        self._lock = threading.Lock()
        self._endpoints: dict[str, Endpoint] = {}
        renew_after_fork(self)

    def target(self, endpoint: str, model: str, policy: BreakerPolicy, *, lease_s: float = LEASE_S) -> TargetCircuit:
        """Return what the calls of a target pass. Called at build time.

        A circuit that is there goes on; when the policy changed it adapts, and its endpoint's takes the last one said.

        Args:
            endpoint: The endpoint's name.
            model: The model's name there.
            policy: When circuits open, and for how long.
            lease_s: How long a probe may take: the longest attempt and a little more.
        """
        with self._lock:
            room = self._endpoints.get(endpoint)
            if room is None:
                room = self._endpoints[endpoint] = Endpoint(self._made(endpoint, policy, lease_s))
            own = room.of(model) or room.add(model, self._made(f"{endpoint}/{model}", policy, lease_s))
        own.adapt(policy, lease_s)
        room.circuit.adapt(policy, lease_s)
        return TargetCircuit(own, room)

    def retain(self, targets: Collection[tuple[str, str]]) -> None:
        """Forget the circuits of targets that no configuration names any more.

        Args:
            targets: The (endpoint, model) pairs to keep.
        """
        kept: dict[str, set[str]] = {}
        for endpoint, model in targets:
            kept.setdefault(endpoint, set()).add(model)
        with self._lock:
            for endpoint, room in tuple(self._endpoints.items()):
                room.keep(kept.get(endpoint, ()))
                if not room.circuits:
                    del self._endpoints[endpoint]

    def find(self, name: str) -> Circuit:
        """Return the circuit of a target (endpoint/model) or of an endpoint, for an operator to open, close or reset.

        Raises:
            UnknownNameError: There is none; the message lists what there is.
        """
        circuits = self._all()
        for circuit in circuits:
            if circuit.name == name:
                return circuit
        names = ", ".join(sorted(circuit.name for circuit in circuits)) or "none"
        raise UnknownNameError(f"no circuit is called {name!r}", hint=f"There are: {names}.")

    def reset(self, name: str | None = None) -> None:
        """Reset circuits, so that calls are let through at once.

        Args:
            name: A target, whose endpoint is closed too, unless an operator keeps it; an endpoint, with all its models;
                or None for all.

        Raises:
            UnknownNameError: As `find`.
        """
        if name is not None:
            self.find(name)
        for room in self._rooms():
            is_whole = name is None or name == room.circuit.name
            chosen = [circuit for circuit in room.circuits if is_whole or circuit.name == name]
            for circuit in chosen:
                circuit.reset()
            if is_whole:
                room.circuit.reset()
            elif chosen:
                room.circuit.recover("reset")

    def statuses(self) -> tuple[CircuitStatus, ...]:
        """Return every circuit as numbers, by name: each endpoint, then its models."""
        return tuple(sorted((circuit.status() for circuit in self._all()), key=lambda status: status.name))

    def after_fork(self) -> None:
        """Go on in a child with locks of its own."""
        self._lock = threading.Lock()
        for circuit in self._all():
            circuit.after_fork()

    def _all(self) -> tuple[Circuit, ...]:
        return tuple(circuit for room in self._rooms() for circuit in (room.circuit, *room.circuits))

    def _rooms(self) -> tuple[Endpoint, ...]:
        with self._lock:
            return tuple(self._endpoints.values())

    def _made(self, name: str, policy: BreakerPolicy, lease_s: float) -> Circuit:
        return Circuit(name, policy, lease_s=lease_s, now=self._now, draw=self._draw)
