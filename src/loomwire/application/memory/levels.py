"""How short of memory a process is, and when that changes."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from loomwire.domain.caching.policies import MemoryPolicy

Pressure: TypeAlias = Literal["normal", "soft", "high", "critical"]

ORDER: Final[tuple[Pressure, ...]] = ("normal", "soft", "high", "critical")
SLACK: Final = 0.1
"""By how much of the limit the share must fall below a level's beginning before the level ends."""

CALM: Final = 12
"""Looks in a row below a level's beginning after which it ends all the same."""

_ENDS_AT_LEAST: Final = 0.5
_LAST_OF_A_GUESS: Final = 2


def is_below(now: Pressure, share: float, policy: MemoryPolicy) -> bool:
    """Tell whether less is taken than that at which a level begins."""
    return share < _begins(policy)[ORDER.index(now)]


def next_pressure(now: Pressure, share: float, policy: MemoryPolicy, *, guessed: bool, calm: int = 0) -> Pressure:
    """Return how short of memory a process is after a look.

    It rises as far as it must at once, and falls one level a look, so that what was given up comes back step by step.
    A process that rests just below a level, with nothing left to give back, does not refuse calls for ever.

    Args:
        now: As of the last look.
        share: Of the limit that is taken.
        policy: Where levels begin.
        guessed: The limit is a guess, which is no reason to refuse calls: "high" is the last level.
        calm: How many looks in a row found less than that at which the level begins.
    """
    begins = _begins(policy)
    reached = max(place for place, begin in enumerate(begins) if share >= begin)
    place = ORDER.index(now)
    ends = max(begins[place] - SLACK, begins[place] * _ENDS_AT_LEAST)
    if reached < place and (share < ends or calm >= CALM):
        place -= 1
    place = max(place, reached)
    return ORDER[min(place, _LAST_OF_A_GUESS) if guessed else place]


def _begins(policy: MemoryPolicy) -> tuple[float, ...]:
    return 0.0, policy.soft, policy.high, policy.critical
