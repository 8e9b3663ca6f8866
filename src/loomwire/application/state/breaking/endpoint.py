"""An endpoint and its models: whose circuit stands in the way of a call, and what the models say of their endpoint."""

from __future__ import annotations

import logging
from collections.abc import Collection

from loomwire.application.state.breaking.circuit import Circuit
from loomwire.application.state.breaking.permits import CircuitState, Permit, Refused

_log = logging.getLogger("loomwire.breaker")


class Endpoint:
    """One endpoint: its own circuit and those of its models.

    Its own opens when a model's circuit opens while another one's is open (or while there is no other), and the
    endpoint gave no answer in between. It then keeps those of its models away whose own circuits are still closed;
    the others have circuits of their own to obey. It closes by its own probes, or when a circuit of a model closes.

    Attributes:
        circuit: Its own circuit.
        circuits: Those of its models. It only grows, or is replaced as a whole, so that it can be read without a lock.
    """

    __slots__ = ("_by_model", "circuit", "circuits")

    def __init__(self, circuit: Circuit) -> None:
        """Start without models."""
        self.circuit = circuit
        self.circuits: list[Circuit] = []
        self._by_model: dict[str, Circuit] = {}

    def of(self, model: str) -> Circuit | None:
        """Return the circuit of a model. As `add` and `keep`, not for two threads at once."""
        return self._by_model.get(model)

    def add(self, model: str, circuit: Circuit) -> Circuit:
        """Take the circuit of a new model, and return it."""
        # In place: a thousand copies of all those before it take as long as building the chains of a thousand models.
        self._by_model[model] = circuit
        self.circuits.append(circuit)
        return circuit

    def keep(self, models: Collection[str]) -> None:
        """Forget all other models."""
        self._by_model = {model: own for model, own in self._by_model.items() if model in models}
        self.circuits = list(self._by_model.values())

    def model_opened(self) -> None:
        """Open the endpoint's circuit if it is the endpoint that fails and not one model of it."""
        circuits = tuple(self.circuits)
        tripped = sorted(at for circuit in circuits if (at := circuit.tripped_at) is not None)
        if not tripped or (len(tripped) < 2 and len(circuits) > 1):
            return
        earlier = tripped[-2:][0]
        if all(circuit.answered_at <= earlier for circuit in circuits) and self.circuit.trip("models_open"):
            _log.warning("circuit of %s opened: %d of its models fail", self.circuit.name, len(tripped))


class TargetCircuit:
    """What the calls of one target pass: the circuit of its model, and its endpoint's when that is not closed.

    Safe from any thread and loop.
    """

    __slots__ = ("_above", "_endpoint", "_own")

    def __init__(self, own: Circuit, endpoint: Endpoint) -> None:
        """Join the two."""
        self._own = own
        self._endpoint = endpoint
        self._above = endpoint.circuit

    @property
    def name(self) -> str:
        """The target's name: endpoint/model."""
        return self._own.name

    @property
    def is_closed(self) -> bool:
        """Whether every call is let through."""
        return self._own.is_closed and self._above.is_closed

    def admit(self) -> Permit | Refused:
        """Return a permit for one call, to be given to `succeeded`, `failed` or `ignored`, or say why there is none."""
        if self._above.is_closed or not self._is_kept_away():
            return self._own.admit()
        above = self._above.admit()
        if isinstance(above, Refused):
            return above
        permit = self._own.admit()
        if isinstance(permit, Refused):
            self._above.ignored(above)
        else:
            permit.above = above
        return permit

    def succeeded(self, permit: Permit) -> None:
        """Take the permit of a call that was answered."""
        if permit.above is not None:
            self._above.succeeded(permit.above)
        became = self._own.succeeded(permit)
        if became is not None:
            self._tell(became, permit, "")

    def failed(self, permit: Permit, error: str) -> None:
        """Take the permit of a call whose failure counts; `error` is its code."""
        if permit.above is not None:
            self._above.failed(permit.above, error)
        became = self._own.failed(permit, error)
        if became is not None:
            self._tell(became, permit, error)

    def ignored(self, permit: Permit) -> None:
        """Take the permit of a call that says nothing about the target: the caller's errors, cancellation."""
        if permit.above is not None:
            self._above.ignored(permit.above)
        self._own.ignored(permit)

    def began(self, permit: Permit) -> None:
        """Note that the first token came."""
        self._own.began(permit)

    def wait_s(self) -> float | None:
        """Return the seconds until a call is let through: 0 when it is now, None when nobody can know."""
        return self._asked().wait_s()

    def try_now(self, every_s: float = 1.0) -> bool:
        """Let one call through all the same, because nobody else is left to ask; see `Circuit.try_now`."""
        return self._asked().try_now(every_s)

    def _is_kept_away(self) -> bool:
        above, own = self._above, self._own
        return above.hold == "isolated" or (own.is_closed and own.hold == "")

    def _asked(self) -> Circuit:
        return self._own if self._above.is_closed or not self._is_kept_away() else self._above

    def _tell(self, became: CircuitState, permit: Permit, error: str) -> None:
        if became is CircuitState.CLOSED:
            _log.info("circuit of %s closed: it answers again", self.name)
            self._above.recover("model_recovered")
            return
        _log.warning("circuit of %s opened: %s", self.name, error or "too many slow answers")
        if not permit.leased:
            self._endpoint.model_opened()
