"""A call's way through further attempts on one target: what was sent, what is paid, how long to wait, what is told."""

from __future__ import annotations

import math
import random
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, Self, TypeVar

from loomwire.application.resilience.delays import GiveUp, Sent, next_delay, sends_of
from loomwire.application.state.retry_tokens import RetryAllowance, TokenBucket
from loomwire.domain.errors import LLMTimeoutError, LoomError
from loomwire.domain.faults import ErrorCategory
from loomwire.domain.policies import RetryPolicy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import Bound


class Bounded(Protocol):
    """What the retry needs of a request, of whatever kind."""

    @property
    @abstractmethod
    def bound(self) -> Bound | None:
        """The instant at which the call or the attempt ends."""

    @abstractmethod
    def with_bound(self, bound: Bound) -> Self:
        """Return the request with another bound."""


class Stepped(Protocol):
    """What the retry needs of an answer, of whatever kind."""

    @abstractmethod
    def with_step(self, step: Step) -> Self:
        """Return the answer with a layer's step in front of the steps below it."""


Q = TypeVar("Q", bound=Bounded)
A = TypeVar("A", bound=Stepped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """The terms on which one target is sent to more than once. Made at build time, without a state of its own.

    Attributes:
        policy: When to ask again.
        allowance: What the endpoint can afford.
        clock: The time.
        target: provider/model, for the steps.
        min_attempt_s: No attempt starts with fewer seconds left.
        draw: Gives a number from 0 to 1, for the delays.
    """

    policy: RetryPolicy
    allowance: RetryAllowance
    clock: IClock
    target: str
    min_attempt_s: float = 0.25
    draw: Callable[[], float] = random.random

    def check_time(self, bound: Bound | None) -> None:
        """Refuse a first attempt for which too little time is left.

        Raises:
            LLMTimeoutError: With the bound's own reason; nothing was sent.
        """
        if bound is not None and self.left_s(bound) < 0:
            raise LLMTimeoutError(
                f"less than {self.min_attempt_s:g} s were left, so no attempt was started",
                reason=bound.reason if bound.at <= bound.enter_by else "attempt",
            )

    def left_s(self, bound: Bound | None) -> float:
        """Return the seconds in which an attempt has to start; negative when it is too late."""
        return math.inf if bound is None else bound.first_at - self.min_attempt_s - self.clock.now()

    def first_sent(self) -> None:
        """Earn for a first attempt."""
        self.allowance.first_sent(self.clock.now())


class Course(Generic[Q]):
    """One call after its first failure; most calls need none. Lives as long as the call.

    Args:
        retries: The terms.
        request: What was asked.

    Attributes:
        request: What to send next; its bound tells the layers below how often the call was sent.
        steps: What the answer or the error has to tell of the attempts so far.
    """

    __slots__ = ("_bound", "_error", "_paid", "_retries", "_sent", "request", "steps")

    def __init__(self, retries: Retries, request: Q) -> None:
        self._retries = retries
        self._bound = request.bound
        self._sent = 0
        self._error: LoomError | None = None
        # What the attempt that is waited for costs, and who paid: one entry, or none before the first wait.
        self._paid: tuple[tuple[TokenBucket, float], ...] = ()
        self.request = request
        self.steps: tuple[Step, ...] = ()

    def failed(self, error: LoomError) -> float | None:
        """Return how long to wait for the next attempt; None when there is none: the error has all steps then."""
        again, sends = error.disposition.retry_same, sends_of(error.steps)
        if self._sent == 0 and (again or sends):
            # A refusal of our own, such as an open circuit, was no attempt and earns nothing.
            self._retries.first_sent()
        # A hedge sends twice; a client that nobody observes notes nothing, and sent once.
        self._sent += max(1, sends)
        if error.attempt is None:
            error.attempt = self._sent + self._sent_before
        decided = self._decide(error) if again else None
        if decided is None or isinstance(decided, GiveUp):
            noted = () if decided is None else (self._step(decided, error),)
            error.steps = (*self.steps, *error.steps, *noted)
            return None
        self.steps = (*self.steps, *error.steps)
        # Taken over: a client of somebody else's may raise the same object again.
        error.steps = ()
        self._error = error
        return decided

    async def rest(self, wait_s: float) -> None:
        """Wait for the next attempt. Cancelled, it gives back what the attempt would have cost.

        Raises:
            LoomError: The last attempt's, when the loop woke too late for another one.
        """
        clock = self._retries.clock
        began = clock.now()
        try:
            await clock.sleep(wait_s)
        except BaseException:
            self._error = None
            self._refund()
            raise
        waited_s = clock.now() - began
        error, self._error = self._error, None
        try:
            if error is not None and self._retries.left_s(self._bound) < 0:
                self._refund()
                error.steps = (*self.steps, self._step(GiveUp.TIME, error, waited_s))
                raise error
            self.steps = (*self.steps, self._step("retried", error, waited_s))
        finally:
            # Its traceback holds this frame.
            del error
        if self._bound is not None:
            self.request = self.request.with_bound(replace(self._bound, sent=self._sent_before + self._sent))

    def told(self, answer: A) -> A:
        """Return the answer with the steps of the failed attempts."""
        for step in reversed(self.steps):
            answer = answer.with_step(step)
        return answer

    @property
    def _sent_before(self) -> int:
        return 0 if self._bound is None else self._bound.sent

    def _decide(self, error: LoomError) -> float | GiveUp:
        retries, bound = self._retries, self._bound
        alike = sum(step.layer == "retry" and step.reason == error.reason for step in self.steps)
        sent = Sent(self._sent, self._sent_before, alike)
        wait_s = next_delay(retries.policy, error, sent, left_s=retries.left_s(bound), draw=retries.draw)
        if isinstance(wait_s, GiveUp):
            return wait_s
        if self._asks_for_too_much(error):
            return GiveUp.WAIT
        # Paid last, so that a retry which is not made for another reason costs nothing.
        cost = 2.0 if error.category is ErrorCategory.TIMEOUT else 1.0
        bucket = retries.allowance.take(cost, retries.clock.now(), further=bound is not None and bound.further)
        if bucket is None:
            return GiveUp.BUDGET
        self._paid = ((bucket, cost),)
        return wait_s

    def _asks_for_too_much(self, error: LoomError) -> bool:
        return self._bound is not None and (error.retry_after or 0.0) > self._bound.patience_s

    def _refund(self) -> None:
        for bucket, cost in self._paid:
            self._retries.allowance.give_back(bucket, cost, self._retries.clock.now())

    def _step(self, outcome: str, error: LoomError | None, waited_s: float = 0.0) -> Step:
        return Step("retry", self._retries.target, outcome, error.reason if error else "", waited_s)
