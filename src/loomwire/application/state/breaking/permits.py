"""What a circuit hands out and tells: permits, refusals and its status."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from loomwire.domain.values import JSON

SETTLED: Final = -1
"""The generation of a permit that was used up."""


class CircuitState(StrEnum):
    """Whether a circuit lets calls through: all, none, or a few to see whether it is well again."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


Hold: TypeAlias = Literal["", "forced_closed", "isolated"]
"""What an operator has decided until `reset`; "" leaves it to the circuit."""


class Permit:
    """The right to make one call, to be given back once. A plain slotted class: one is made per call.

    Attributes:
        generation: In which life of the circuit it was given; in any later one it is worth nothing.
        started: When, in monotonic seconds.
        leased: Whether it is one of the few of a circuit that is not closed.
        first_at: When the first token came, or None as long as it did not.
        above: The permit of the endpoint's circuit that was needed too, or None.
        number: How many permits of this life of the circuit were given before it.
    """

    __slots__ = ("above", "first_at", "generation", "leased", "number", "started")

    def __init__(self, generation: int, started: float, number: int = 0, *, leased: bool = False) -> None:
        """Give the right."""
        self.generation = generation
        self.number = number
        self.started = started
        self.leased = leased
        self.first_at: float | None = None
        self.above: Permit | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a call may not be made.

    Attributes:
        name: The circuit that refuses.
        why: It is open; it is half open and its probes are under way; or an operator isolated it.
        retry_after_s: Seconds until it lets a call through; None when nobody can know, because it depends on the
            probes under way or on the operator.
    """

    name: str
    why: Literal["open", "half_open", "isolated"]
    retry_after_s: float | None = None

    @property
    def message(self) -> str:
        """The refusal in one line."""
        told = {
            "open": f"the circuit of {self.name} is open, nothing was sent",
            "half_open": f"the circuit of {self.name} is half open and its probes are under way, nothing was sent",
            "isolated": f"the circuit of {self.name} is isolated until it is reset, nothing was sent",
        }
        return told[self.why]


@dataclass(frozen=True, slots=True)
class CircuitStatus:
    """One circuit as numbers that do not change.

    Attributes:
        name: What it guards: endpoint/model, an endpoint, or a host's own name for it.
        state: Its state; one that is open and whose time is up counts as half open.
        hold: What an operator has decided.
        reason: Why it is in this state: consecutive, failure_rate, slow_rate, probe_failed, models_open, forced,
            isolated, recovered, model_recovered, reset, or "" when it never left the first.
        error: The code of the last failure that counted, or "".
        since_s: For how many seconds.
        retry_after_s: Seconds until it lets a call through; None when nobody can know, 0 when it does.
        calls: Calls in the window.
        failures: Failures in the window.
        slow: Slow calls in the window.
        consecutive: Failures in a row, without those of calls that began long before one that was answered.
        trips: How often it opened without having been well for a whole window in between.
        probes: Permits of a half-open circuit that are under way.
    """

    name: str
    state: CircuitState
    hold: Hold = ""
    reason: str = ""
    error: str = ""
    since_s: float = 0.0
    retry_after_s: float | None = 0.0
    calls: int = 0
    failures: int = 0
    slow: int = 0
    consecutive: int = 0
    trips: int = 0
    probes: int = 0

    def to_dict(self) -> dict[str, JSON]:
        """Return the status as JSON."""
        numbers: dict[str, JSON] = {name: getattr(self, name) for name in _SHOWN}
        after = None if self.retry_after_s is None else round(self.retry_after_s, 3)
        return {**numbers, "state": self.state.value, "since_s": round(self.since_s, 3), "retry_after_s": after}


_SHOWN = tuple(field.name for field in fields(CircuitStatus))
