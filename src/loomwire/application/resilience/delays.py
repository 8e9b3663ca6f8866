"""How long to wait before a target is asked again, or why it is not. Pure: time and chance are given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from loomwire.domain.errors import LoomError
from loomwire.domain.faults import ErrorCategory
from loomwire.domain.policies import RetryPolicy
from loomwire.domain.reports.steps import Step

# Of a long wait. A server that names the instant of its reset tells latecomers short waits: a tenth of those puts four
# times the mean into the first 100 ms after a reset of 20 s. So short ones are spread by `throttle_base_s` (1.7 times).
_SPREAD = 0.1


class GiveUp(StrEnum):
    """Why the same target is not asked again, although the failure would allow it. The values stand in steps."""

    ATTEMPTS = "attempts_used"
    LIMIT = "limit_used"
    TOTAL = "total_attempts_used"
    WAIT = "wait_too_long"
    TIME = "no_time"
    BUDGET = "no_retry_budget"


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent so far.

    Attributes:
        here: Sends to this target.
        before: Sends of the same call to other targets, or for other answers.
        alike: How often this target was asked again after failures of the same reason.
    """

    here: int = 1
    before: int = 0
    alike: int = 0


def next_delay(
    policy: RetryPolicy, error: LoomError, sent: Sent, *, left_s: float, draw: Callable[[], float]
) -> float | GiveUp:
    """Decide after a failure that may be tried again on the same target (`error.disposition.retry_same`).

    Args:
        policy: The numbers.
        error: The failure.
        sent: What was sent so far, the failed attempt included.
        left_s: Seconds from now in which the next attempt has to start; infinity without a deadline.
        draw: Gives a number from 0 to 1.

    Returns:
        Seconds to wait, or why not to ask again.
    """
    limit = error.disposition.retry_limit
    if sent.here >= policy.attempts:
        return GiveUp.ATTEMPTS
    if limit is not None and sent.alike >= limit:
        return GiveUp.LIMIT
    if sent.here + sent.before >= policy.total_attempts:
        return GiveUp.TOTAL
    throttled = error.category is ErrorCategory.RATE_LIMIT
    return delay(policy, sent.here, error.retry_after, throttled=throttled, left_s=left_s, draw=draw)


def delay(
    policy: RetryPolicy,
    tried: int,
    named_s: float | None,
    *,
    left_s: float,
    draw: Callable[[], float],
    throttled: bool = False,
) -> float | GiveUp:
    """Return how long to wait before the next try: never less than was asked for, never too long to start in time.

    Without a wait that was asked for it is drawn from 0 to `base_s`, doubled after every try, up to `max_delay_s`; else
    from that wait to a tenth or `throttle_base_s` more, whichever is longer. What the deadline cuts off is not drawn at
    all, so that calls with one deadline do not gather at its end.

    Args:
        policy: The numbers.
        tried: Tries so far, at least 1.
        named_s: Seconds that the other side asked for; None, 0 and what is no number ask for nothing.
        left_s: Seconds from now in which the next try has to start.
        draw: Gives a number from 0 to 1.
        throttled: The other side limits the pace; without a named wait `throttle_base_s` takes the place of `base_s`.
    """
    named = named_s if named_s is not None and named_s > 0 else 0.0
    if named > policy.retry_after_cap_s or named == math.inf:
        return GiveUp.WAIT
    room = left_s - named
    if room < 0:
        return GiveUp.TIME
    if named:
        return named + draw() * min(max(named * _SPREAD, policy.throttle_base_s), room)
    base = policy.throttle_base_s if throttled else policy.base_s
    return draw() * min(policy.max_delay_s, base * 2.0 ** (tried - 1), room)


def sends_of(steps: Iterable[Step]) -> int:
    """Return how many of the steps are sends.

    A layer that asks again above the retry (another target, another answer) adds this to `Bound.sent` of what it hands
    down next, so that `total_attempts` holds for the whole call.
    """
    return sum(step.layer == "attempt" for step in steps)
