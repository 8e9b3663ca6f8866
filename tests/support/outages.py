"""A simulated target under load: calls that hang, an outage, and a process that stands still."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from loomwire.application.state.breaking.circuit import Circuit
from loomwire.application.state.breaking.permits import CircuitState, Permit
from loomwire.domain.policies import BreakerPolicy


@dataclass(frozen=True, kw_only=True)
class Load:
    """Callers that call again as soon as they were answered, for so many seconds.

    Attributes:
        places: How many callers there are.
        takes_s: How long an answer takes on average; exponentially distributed.
        limit_s: After how long a caller gives a call up that hangs.
        hangs: The share of calls that hang at any time.
        outage_s: From then on all hang; also those that are under way.
        stands_s: The process stands still up to so long, every half second to three seconds.
        lasts_s: When the simulation ends.
    """

    places: int
    takes_s: float
    limit_s: float
    hangs: float = 0.0
    outage_s: float = math.inf
    stands_s: float = 0.0
    lasts_s: float = 600.0


@dataclass
class Played:
    """What came of a load: when the circuit opened, and the failures that it counted until it did first."""

    opened_s: list[float]
    failures: int = 0


def play(load: Load, seed: int) -> Played:
    """Play a load on a circuit, until it opens in the outage or the time is over; the same seed plays the same one."""
    dice, now = random.Random(seed), [0.0]
    circuit = Circuit("x", BreakerPolicy(), now=lambda: now[0], draw=lambda: 0.5)
    played, numbers = Played([]), count()
    due: list[tuple[float, int, Permit | None, bool]] = []
    asleep = _standstills(dice, load.stands_s)

    def push(at: float, permit: Permit | None = None, *, fails: bool = False) -> None:
        heapq.heappush(due, (at, next(numbers), permit, fails))

    for place in range(load.places):
        push(place / 10_000)
    while due:
        at, _, permit, fails = heapq.heappop(due)
        # Whatever is due in a standstill happens at its end, and what gives up then is told before what was answered.
        now[0] = max(now[0], asleep(at))
        if now[0] > load.lasts_s:
            break
        if permit is None:
            given = circuit.admit()
            if not isinstance(given, Permit):
                push(now[0] + 0.5)
                continue
            ends = now[0] + dice.expovariate(1 / load.takes_s)
            fails = dice.random() < load.hangs or ends > load.outage_s
            push(now[0] + load.limit_s if fails else ends, given, fails=fails)
            continue
        played.failures += fails
        became = circuit.failed(permit, "TIM004") if fails else circuit.succeeded(permit)
        if became is CircuitState.OPEN:
            played.opened_s.append(now[0])
            if now[0] >= load.outage_s:
                break
        push(now[0])
    return played


def _standstills(dice: random.Random, longest_s: float) -> Callable[[float], float]:
    begins = [dice.uniform(0.5, 3)]
    ends = [begins[0] + dice.uniform(0.2, longest_s) if longest_s else math.inf]

    def woken(at: float) -> float:
        """Return when something that is due at an instant happens."""
        if not longest_s:
            return at
        while at > ends[0]:
            begins[0] = ends[0] + dice.uniform(0.5, 3)
            ends[0] = begins[0] + dice.uniform(0.2, longest_s)
        return max(at, ends[0]) if at >= begins[0] else at

    return woken
