"""A stream's way through restarts: whether it begins anew, after which wait, at whose cost, and what is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from loomwire.application.resilience.course import Retries
from loomwire.application.resilience.delays import GiveUp, delay, sends_of
from loomwire.application.state.retry_tokens import TokenBucket
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, StreamInterruptedError
from loomwire.domain.events import StreamEvent, UsageUpdate
from loomwire.domain.faults import FAULTS, Disposition, ErrorCategory
from loomwire.domain.pricing import FREE, NO_USAGE, Charge, Unpriced, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse

LAYER: Final = "resume"


@dataclass(frozen=True, slots=True)
class Origin:
    """One target that a stream may come from. Made at build time, without a state of its own.

    Attributes:
        config: The target, for its prices.
        retries: On which terms it is sent to again.
    """

    config: LLMConfig
    retries: Retries


class Restarts:
    """The restarts of one stream. Lives as long as the stream, and belongs to one task.

    A stream begins anew after a failure for which its target may be asked again; after one that rests a key or a model
    for long, where another target can be asked. It is a further send: it waits as a retry does, is paid by the
    endpoint's retry budget and keeps to `total_attempts` and the deadline. `retry.attempts` is for the sends of each
    beginning.

    Args:
        origins: The targets, at least one.
        request: What was asked.

    Attributes:
        request: What to send next; its bound tells the layers below how often the call was sent.
    """

    __slots__ = ("_alike", "_cost", "_origins", "_paid", "_sent", "_step", "_steps", "_usage", "request")

    def __init__(self, origins: Sequence[Origin], request: LLMRequest) -> None:
        self._origins = origins
        self._alike: Counter[str] = Counter()
        self._usage = Usage()
        self._cost: Charge = FREE
        self._steps: tuple[Step, ...] = ()
        self._step = Step(LAYER)
        self._sent = 0 if request.bound is None else request.bound.sent
        # What the restart that is waited for costs, and who paid: one entry, or none before the first wait.
        self._paid: tuple[tuple[Origin, TokenBucket, float], ...] = ()
        self.request = request

    def failed(self, error: LLMError) -> float | None:
        """Take a broken stream that was left, and return how long to wait; None when the error is the stream's end."""
        origin = self._origin(error)
        self._sent += max(1, sends_of(error.steps))
        decided = self._decide(error, origin)
        if decided is None or isinstance(decided, GiveUp):
            self._close(error, () if decided is None else (Step(LAYER, origin.config.target, decided, error.reason),))
            return None
        return decided

    async def rest(self, error: LLMError, wait_s: float) -> None:
        """Wait before the stream begins anew. Cancelled, it gives back what that would have cost."""
        origin = self._origin(error)
        clock = origin.retries.clock
        began = clock.now()
        try:
            await clock.sleep(wait_s)
        except BaseException:
            for payer, bucket, cost in self._paid:
                payer.retries.allowance.give_back(bucket, cost, clock.now())
            raise
        if self.request.bound is not None:
            self.request = self.request.with_bound(replace(self.request.bound, sent=self._sent))
        self._step = Step(LAYER, origin.config.target, "restarted", error.reason, clock.now() - began)

    def begun(self, error: LLMError) -> None:
        """Note that the stream began anew after an error, and keep what the broken one used."""
        origin = self._origin(error)
        seen = error.usage_so_far if isinstance(error, StreamInterruptedError) else None
        # The provider's last word is missing: what it said so far is the least that was used.
        usage = NO_USAGE if seen is None else replace(seen, estimated=True)
        self._usage += usage
        self._cost += _charge(usage, origin.config)
        self._steps = (*self._steps, *error.steps, self._step)
        self._alike[error.reason] += 1

    def refused(self, error: LLMError, refusal: LLMError) -> None:
        """Tell the error of the broken stream that it could not begin anew, and why."""
        self._close(error, (self._step, *refusal.steps, Step(LAYER, "", "failed", refusal.reason)))
        error.metadata = {**error.metadata, "restart": refusal.code}

    def told(self, response: LLMResponse[str]) -> LLMResponse[str]:
        """Return the answer with what the broken streams used, cost and tell."""
        if not self._steps:
            return response
        usage, cost = self._usage + response.usage, self._cost + response.cost
        return replace(response, usage=usage, cost=cost, steps=(*self._steps, *response.steps))

    def delivered(self, event: StreamEvent) -> StreamEvent:
        """Return an event as the reader gets it: the usage so far is that of the whole call."""
        return UsageUpdate(self._usage + event.usage) if self._steps and isinstance(event, UsageUpdate) else event

    def _decide(self, error: LLMError, origin: Origin) -> float | GiveUp | None:
        may = _disposition(error)
        # What is not asked again rests then, and the others are asked in its place.
        elsewhere = len(self._origins) > 1 and may.falls_back and may.cooldown_s is not None
        if not may.retry_same and not elsewhere:
            return None
        wait_s: float | GiveUp | None = self._used_up(error, origin.retries, may.retry_limit)
        if wait_s is None:
            wait_s = self._wait(error, origin.retries) if may.retry_same else 0.0
        if elsewhere and wait_s is GiveUp.WAIT:
            wait_s = 0.0
        return wait_s if isinstance(wait_s, GiveUp) else self._paid_for(wait_s, error, origin)

    def _used_up(self, error: LLMError, retries: Retries, limit: int | None) -> GiveUp | None:
        if limit is not None and self._alike[error.reason] >= limit:
            return GiveUp.LIMIT
        if self._sent >= retries.policy.total_attempts:
            return GiveUp.TOTAL
        return GiveUp.TIME if retries.left_s(self.request.bound) < 0 else None

    def _wait(self, error: LLMError, retries: Retries) -> float | GiveUp:
        throttled, tried = error.category is ErrorCategory.RATE_LIMIT, self._alike.total() + 1
        left_s = retries.left_s(self.request.bound)
        return delay(retries.policy, tried, error.retry_after, left_s=left_s, draw=retries.draw, throttled=throttled)

    def _paid_for(self, wait_s: float, error: LLMError, origin: Origin) -> float | GiveUp:
        # Paid last, so that a restart which is not made for another reason costs nothing.
        cost = 2.0 if error.category is ErrorCategory.TIMEOUT else 1.0
        bucket = origin.retries.allowance.take(cost, origin.retries.clock.now(), further=len(self._origins) > 1)
        if bucket is None:
            return GiveUp.BUDGET
        self._paid = ((origin, bucket, cost),)
        return wait_s

    def _close(self, error: LLMError, noted: tuple[Step, ...]) -> None:
        if self._steps and isinstance(error, StreamInterruptedError):
            error.usage_so_far = self._usage + (error.usage_so_far or NO_USAGE)
        error.steps = (*self._steps, *error.steps, *noted)

    def _origin(self, error: LLMError) -> Origin:
        named = (one for one in self._origins if (one.config.name, one.config.model) == (error.provider, error.model))
        return next(named, self._origins[0])


def _disposition(error: LLMError) -> Disposition:
    # Of its own disposition an interrupted stream has lost what would send again.
    cause = error.metadata.get("cause")
    fault = FAULTS.get(cause) if isinstance(cause, str) else None
    return (fault or error.fault).disposition


def _charge(usage: Usage, config: LLMConfig) -> Charge:
    if config.free:
        return FREE
    return Unpriced("no_price") if config.prices is None else config.prices.charge(usage)
