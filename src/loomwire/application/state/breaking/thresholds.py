"""What a breaker's numbers mean: pure functions of a policy and of what was counted."""

from __future__ import annotations

import math
from typing import Final

from loomwire.application.state.breaking.window import Window
from loomwire.domain.policies import BreakerPolicy

JITTER: Final = 0.2
BY_CHANCE: Final = 1e-7
"""How unlikely a row of failures has to be, by the failures before it, to count as a sign and not as chance."""

FAIR: Final = 0.6
"""The share of `failure_rate` at which an endpoint may fail without being left alone."""

TOO_OFTEN: Final = 1e-3
"""How unlikely as many failures have to be of an endpoint that fails that often."""

_DOUBLINGS: Final = 40


def is_slow(policy: BreakerPolicy, took_s: float) -> bool:
    """Say whether a call, or a stream's first token, that took so many seconds was slow."""
    return policy.slow_after_s is not None and took_s > policy.slow_after_s


def is_too_slow(policy: BreakerPolicy, window: Window) -> bool:
    """Say whether enough calls of the window were slow to open a circuit."""
    return 0 < window.slow >= policy.slow_rate * window.calls and window.calls >= policy.min_calls


def reason_to_open(policy: BreakerPolicy, window: Window, streak: int, overtaken: int = 0) -> str:
    """Return why the failure that was just counted opens a circuit, or "" when it does not.

    Args:
        policy: The numbers.
        window: What was counted, the failure included.
        streak: Failures in a row, this one included.
        overtaken: Calls that began before the one that failed and are under way. Failures are faster than answers:
            of 50 calls at once those that failed end first, and say little as long as the others may answer.
            In an outage nobody is overtaken for long: what hangs fails in the order in which it began.
    """
    if streak >= max(policy.consecutive, overtaken) and not _is_chance(policy, window, streak):
        return "consecutive"
    if window.calls >= policy.min_calls and _is_too_often(policy, window, overtaken):
        return "failure_rate"
    return "slow_rate" if is_too_slow(policy, window) else ""


def _is_chance(policy: BreakerPolicy, window: Window, streak: int) -> bool:
    """Say whether so many failures in a row are to be expected now and then of what fails as often as it did before.

    Where 30 of 100 calls fail, eight in a row come once in 20,000 calls: three endpoints under load were all left alone
    for that, and nobody was there to answer. Where hardly any failed, this never holds an outage up.
    """
    recent = min(streak, window.failures)
    calls, failures = window.calls - recent, window.failures - recent
    return calls >= policy.min_calls and (failures / calls) ** streak > BY_CHANCE


def _is_too_often(policy: BreakerPolicy, window: Window, overtaken: int) -> bool:
    """Say whether the rate is reached, and not by chance of what fails three fifths as often as that.

    Of an endpoint that fails three times in ten, half of the first ten calls fail one time in seven. The bound is
    Chernoff's: `exp(-calls * divergence)` is never less than the true probability.
    """
    if not 0 < window.failures >= policy.failure_rate * (window.calls + overtaken):
        return False
    share, fair = window.failures / window.calls, policy.failure_rate * FAIR
    if fair == 0:
        return True
    divergence = share * math.log(share / fair)
    if share < 1:
        divergence += (1 - share) * math.log((1 - share) / (1 - fair))
    return math.exp(-window.calls * divergence) <= TOO_OFTEN


def rests_s(policy: BreakerPolicy, trips: int) -> tuple[float, float]:
    """Return the shortest and the longest time, in seconds, that a circuit stays open at its `trips`-th opening."""
    rest = min(policy.open_s * 2.0 ** min(trips - 1, _DOUBLINGS), policy.open_max_s)
    return rest * (1 - JITTER), min(rest * (1 + JITTER), policy.open_max_s)
