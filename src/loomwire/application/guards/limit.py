"""Limit: a call goes when the provider's limits allow it, and not before."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Final, Self

from typing_extensions import override

from loomwire.application.guard import Guard, Operation, Outcome
from loomwire.application.state.pacing.lane import Lane
from loomwire.application.state.pacing.measured import Measured
from loomwire.application.state.pacing.waiter import Grant
from loomwire.domain.errors import LLMTimeoutError, LoomError, StreamInterruptedError
from loomwire.domain.pricing import Charge, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.responses import RateLimits

ANSWER_TOKENS: Final = 1024
"""What an answer is taken for when neither the request nor the model says how long it may get."""

# Ended before a byte of the request left this process, whatever the phase says.
_UNSENT: Final = frozenset(
    {
        *("dns", "refused", "connect", "tls", "tls_certificate", "queue", "circuit_open", "budget_exceeded"),
        *("capability", "hook", "memory", "client_removed", "closed", "no_recording"),
    }
)


class Limit(Guard):
    """Holds an operation back until its lane lets it through, and settles afterwards what it really used.

    It stands inside retry, so that nothing is held while a retry sleeps. Charged before sending: one request, and the
    estimated input with the longest answer; settled on the way out, where cancellation and failure are judged too:

    - answered, or a stream that broke with known usage: what the provider counted, be it more or less than charged;
    - ended before anything was sent: everything is refunded;
    - failed, cancelled or abandoned after that: the request and its input count, the answer is refunded.

    A provider that throttles pauses the whole lane until it may be asked again.

    Args:
        lane: The limits of the target, and what is used of them.
        provider: The target's provider, for errors and steps.
        model: The target's model.
        answer_tokens: What to charge for an answer when the request sets no `max_tokens`: the target's own maximum.
        min_attempt_s: Nobody waits for a turn that would come with fewer seconds left for the answer.
    """

    __slots__ = ("answer_tokens", "lane", "min_attempt_s", "model", "provider", "target")

    def __init__(
        self,
        lane: Lane,
        *,
        provider: str = "",
        model: str = "",
        answer_tokens: int | None = None,
        min_attempt_s: float = 0.0,
    ) -> None:
        """Keep what every operation of this place has in common."""
        self.lane = lane
        self.min_attempt_s = min_attempt_s
        self.provider = provider
        self.model = model
        self.target = f"{provider}/{model}" if provider else ""
        self.answer_tokens = ANSWER_TOKENS if answer_tokens is None else answer_tokens

    @override
    def around(self, operation: Operation) -> LimitedOperation:
        return LimitedOperation(self, operation)

    @override
    def __repr__(self) -> str:
        return "Limit"


class LimitedOperation(Outcome):
    """One operation in its lane; hand-written, because `@asynccontextmanager` costs a third more per call."""

    __slots__ = ("_grant", "_guard", "_input_tokens", "_operation", "_step")

    def __init__(self, guard: Limit, operation: Operation) -> None:
        """Take nothing yet."""
        self._guard = guard
        self._operation = operation
        self._grant: Grant | None = None
        self._input_tokens = 0
        self._step: Step | None = None

    async def __aenter__(self) -> Self:
        """Take a slot, or wait for one.

        Raises:
            LLMTimeoutError: (`queue`) None became free in time, or none would have.
        """
        guard, operation, tokens = self._guard, self._operation, 0
        if guard.lane.weighed and isinstance(operation, Measured):
            self._input_tokens = operation.input_tokens
            answer = operation.max_tokens
            tokens = self._input_tokens + (guard.answer_tokens if answer is None else answer)
        grant = guard.lane.take(tokens)
        if grant is None:
            grant = await self._wait(tokens)
        # Until something is answered or fails, it counts as sent: the request and its input, but no answer.
        grant.spent = self._input_tokens
        self._grant = grant
        return self

    async def _wait(self, tokens: int) -> Grant:
        guard, operation = self._guard, self._operation
        until, urgency = math.inf, 1
        if isinstance(operation, Measured):
            urgency = operation.urgency
            until = math.inf if operation.bound is None else operation.bound.first_at - guard.min_attempt_s
        asked = guard.lane.now()
        try:
            return await guard.lane.wait(tokens, until=until, urgency=urgency)
        except LLMTimeoutError as error:
            waited_s = guard.lane.now() - asked
            error.with_step(Step("limit", guard.target, "refused", error.reason, waited_s))
            error.located(guard.provider, guard.model)
            raise

    @property
    @override
    def step(self) -> Step | None:
        return self._step

    @override
    def heard(self, limits: RateLimits) -> None:
        self._guard.lane.hear(limits)

    @override
    def answered(self, usage: Usage, cost: Charge, model: str) -> None:
        grant = self._grant
        if grant is not None:
            # A provider that says nothing may have counted the longest answer.
            grant.spent = usage.total_tokens if usage.known else None
            if grant.waited_s:
                self._note(grant)

    @override
    def failed(self, error: LoomError) -> None:
        grant = self._grant
        if grant is None:
            return
        grant.sent = error.phase != "connect" and error.reason not in _UNSENT
        if isinstance(error, StreamInterruptedError) and error.usage_so_far is not None and error.usage_so_far.known:
            grant.spent = error.usage_so_far.total_tokens
        rest_s = _rest_s(error)
        if rest_s > 0:
            self._guard.lane.pause(rest_s)
        if grant.waited_s:
            self._note(grant)

    def _note(self, grant: Grant) -> None:
        self._step = Step("limit", self._guard.target, "waited", "", grant.waited_s)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        grant, self._grant = self._grant, None
        if grant is not None:
            self._guard.lane.give_back(grant)


def _rest_s(error: LoomError) -> float:
    """Return for how many seconds nobody should ask; NaN and negative waits of a provider are none."""
    rest = error.disposition
    if rest.cooldown_scope != "key+model" or rest.cooldown_s is None:
        return 0.0
    asked_for = error.retry_after
    return asked_for if asked_for is not None and asked_for >= 0 else rest.cooldown_s
