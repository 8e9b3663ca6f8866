"""A call's way through the targets of its client: who is next, with how much time, and what is told in the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from loomwire.application.resilience.delays import GiveUp, sends_of
from loomwire.application.selection.narrowing import Needs, narrowed
from loomwire.application.selection.options import Option
from loomwire.application.selection.table import Rules, rule_of
from loomwire.application.state.panics import Gate
from loomwire.domain.errors import AllTargetsFailedError, LLMError, LoomError
from loomwire.domain.policies import BalancePolicy, BalanceRule
from loomwire.domain.ports.clock import IClock
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.responses import LLMResponse

LAYER: Final = "fallback"

# Rules that leave it open who answers; the others prefer somebody.
_AMONG_EQUALS: Final[frozenset[BalanceRule]] = frozenset({"weighted", "least_busy", "latency"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms on which a client asks its targets. Made at build time, without a state of its own.

    Attributes:
        name: The client's name, for errors.
        options: What it can ask, in its order.
        rules: In which order it is asked.
        balance: The numbers of that.
        gate: How often one is tried when all are left alone.
        clock: The time.
        content_filter: What one target's content filter refused, the next one may be asked.
        has_equals: Some options are equal ones, so that the operator's order leaves theirs open.
    """

    name: str
    options: tuple[Option, ...]
    rules: Rules
    balance: BalancePolicy
    gate: Gate
    clock: IClock
    content_filter: bool = False
    has_equals: bool = field(init=False)

    def __post_init__(self) -> None:
        """See whether the operator's order leaves anything open."""
        groups = {option.candidate.group for option in self.options}
        object.__setattr__(self, "has_equals", len(groups) < len(self.options))


class Round:
    """One call. Lives as long as the call, and belongs to one task.

    Args:
        terms: The terms.
        request: What was asked.
        streamed: As a stream.

    Attributes:
        steps: What the answer or the error has to tell of what came before it.
    """

    __slots__ = (
        "_asked",
        "_dropped",
        "_errors",
        "_left",
        "_needs",
        "_passed",
        "_rejected",
        "_request",
        "_terms",
        "steps",
    )

    def __init__(self, terms: Terms, request: LLMRequest, *, streamed: bool) -> None:
        """Put the targets that can serve the request into order."""
        self._terms = terms
        self._request = request
        self._needs = Needs(request, streamed=streamed)
        self._errors: list[LLMError] = []
        self._rejected = 0
        self._asked = self._passed = False
        self.steps: tuple[Step, ...] = ()
        kept, dropped = narrowed(terms.options, self._needs)
        self._left = self._ordered(kept)
        self._dropped = dropped

    def next(self) -> Option | None:
        """Return whom to ask now; None when nobody is left or may be asked any more."""
        while self._left:
            option = self._best()
            if self._asked and not self._may_send(option):
                return None
            if not option.is_admitted and not self._panics(option):
                self._refuse(option)
                continue
            if self._dropped and option is not self._terms.options[0]:
                self.steps += tuple(Step(LAYER, unfit.option.name, "dropped", unfit.reason) for unfit in self._dropped)
                self._dropped = ()
            self._asked = True
            return option
        return None

    def request_for(self, option: Option) -> LLMRequest:
        """Return the request with what the layers below have to know: what was sent, and the share of the time.

        The last target gets all the time that is left. Keys share the time of their target: what hangs is not the key.
        """
        bound = self._request.bound
        if bound is None:
            return self._request
        further, sent, enter_by, share_s = bool(self._left), bound.sent, math.inf, math.inf
        if self.steps:
            sent += sends_of(self.steps)
        now = self._terms.clock.now()
        targets = {option.target, *[one.target for one in self._left]}
        if len(targets) > 1:
            share_s = max((bound.at - now) / len(targets), option.config.timeouts.min_attempt_s)
            enter_by = now + share_s
        elif not further and sent == bound.sent:
            return self._request
        patience_s = self._patience_s(option, now) if further else math.inf
        return self._request.with_bound(Bound(bound.at, bound.reason, sent, further, enter_by, patience_s, share_s))

    def goes_on(self, option: Option, error: LoomError) -> bool:
        """Take a failure, and return whether another target is to be looked for; else the error has all steps now."""
        left = self._allowed(option, error)
        if not isinstance(error, LLMError) or left is None or not (left or self._errors):
            error.steps = (*self.steps, *error.steps)
            return False
        self._left = left
        self._note(error, Step(LAYER, option.name, "failed", error.reason))
        return True

    def closing(self, option: Option) -> tuple[Step, ...]:
        """Return all steps that come before those of the target that answers."""
        return (*self.steps, Step(LAYER, option.name, "chosen")) if self.steps else ()

    def told(self, response: LLMResponse[str], option: Option) -> LLMResponse[str]:
        """Return the answer with the steps of everything that came before it."""
        for step in reversed(self.closing(option)):
            response = response.with_step(step)
        return response

    def exhausted(self) -> LLMError:
        """Return the error of a call for which nobody is left: the target's own when only one could be asked."""
        errors, self._errors = self._errors, []
        if len(errors) > 1:
            return all_failed(self._terms.name, errors, self.steps, self._rejected)
        errors[0].steps = self.steps
        return errors[0]

    def _patience_s(self, option: Option, now: float) -> float:
        # The next call would pass over a target that asks for a wait, and so does this one: at once for an equal one,
        # and for one that the operator put behind it when the wait is longer than any of our own.
        free = [one.candidate.group for one in self._left if not one.rest_s(now)]
        if not free:
            return math.inf
        same = option.candidate.group in free or rule_of(self._terms.balance, self._request.priority) in _AMONG_EQUALS
        return 0.0 if same else option.config.retry.max_delay_s

    def _ordered(self, kept: tuple[Option, ...]) -> list[Option]:
        terms, priority = self._terms, self._request.priority
        listed = rule_of(terms.balance, priority) == "ordered" and not terms.has_equals
        if listed or len(kept) == 1:
            return list(kept)
        now, costs = terms.clock.now(), terms.rules.needs_cost(priority)
        loads = [
            one.load.reading(
                now,
                terms.balance.warmup_s,
                cost_micro=one.cost_micro(self._request, self._needs.input_tokens) if costs else None,
            )
            for one in kept
        ]
        order = terms.rules.of(priority).order(self._request, [option.candidate for option in kept], loads)
        return [kept[at] for at in order]

    def _best(self) -> Option:
        left, now = self._left, self._terms.clock.now()
        if not left[0].rest_s(now):
            return left.pop(0)
        at = next((at for at, option in enumerate(left) if not option.rest_s(now)), None)
        if at is None:
            # Nobody is well. A rest is no reason to refuse; an open circuit is one.
            at = min(range(len(left)), key=lambda at: (not left[at].is_admitted, left[at].rest_s(now)))
            return left.pop(at)
        self._passed = True
        for passed in left[:at]:
            passed.noted_resting()
            reason = passed.resting.reason(now) or "circuit_open"
            self.steps += (Step(LAYER, passed.name, "passed_over", reason),)
        self._left = [*left[at + 1 :], *left[:at]]
        return left[at]

    def _may_send(self, option: Option) -> bool:
        why = why_not(option, self._request.bound, self.steps, self._terms.clock.now())
        if why is not None:
            self.steps += (Step(LAYER, option.name, why),)
        return why is None

    def _panics(self, option: Option) -> bool:
        # Whoever gets here first is the one that is closest to being asked again.
        per_s = self._terms.balance.panic_probe_per_s
        if self._asked or self._errors or not self._terms.gate.opens(self._terms.clock.now(), per_s):
            return False
        if not option.circuit.try_now(1 / per_s):
            return False
        self.steps += (Step(LAYER, option.name, "panic"),)
        return True

    def _refuse(self, option: Option) -> None:
        # Not asked, because it would wait for its turn before its breaker says the same.
        option.noted_resting()
        error = option.refusal()
        # Its other keys have the same circuit.
        self._left = [one for one in self._left if one.circuit.name != option.circuit.name]
        self._note(error, None)

    def _note(self, error: LLMError, step: Step | None) -> None:
        self.steps += error.steps if step is None else (*error.steps, step)
        # It outlives this call's frames, which hold the request.
        error.__traceback__ = None
        self._errors.append(error)

    def _allowed(self, option: Option, error: LoomError) -> list[Option] | None:
        may = error.disposition.fallback
        if may == "other_key":
            refused = (option.config.name, option.key)
            return [one for one in self._left if (one.config.name, one.key) != refused]
        if may == "larger_window":
            return self._larger_than(option)
        consented = may == "opt_in" and self._terms.content_filter
        if may == "any" or consented:
            return self._left
        if self._is_foreign(error):
            self._rejected += 1
            return self._left
        return None

    def _larger_than(self, option: Option) -> list[Option]:
        # What refused it without a known window is taken for as large as the request.
        window = option.config.capabilities.context_window or self._needs.input_tokens
        return [one for one in self._left if (one.config.capabilities.context_window or 0) > window]

    def _is_foreign(self, error: LoomError) -> bool:
        # A vendor may refuse another one's tool ids and signatures, and the conversation is right all the same: it was
        # meant for whoever was asked first or is left alone now, and not for who stands in.
        if error.reason != "invalid_request" or not (self._errors or self._passed):
            return False
        return any(message.role in ("assistant", "tool") for message in self._request.messages)


def why_not(option: Option, bound: Bound | None, steps: tuple[Step, ...], now: float) -> GiveUp | None:
    """Return why another option is not sent to after all these steps of a call; None when it is."""
    if bound is None:
        return None
    if bound.sent + sends_of(steps) >= option.config.retry.total_attempts:
        return GiveUp.TOTAL
    return GiveUp.TIME if bound.at - now < option.config.timeouts.min_attempt_s else None


def all_failed(
    name: str, errors: Sequence[LLMError], steps: tuple[Step, ...], rejected: int = 0
) -> AllTargetsFailedError:
    """Return the error of a call that several options failed.

    Args:
        name: The client's name.
        errors: What each of them failed with.
        steps: What became of the call.
        rejected: How many of them refused the conversation of others.
    """
    failed = AllTargetsFailedError(f"no target of {name} answered, {len(errors)} were looked at", errors=errors)
    failed.steps = (*steps, Step(LAYER, "", "exhausted"))
    if rejected:
        # What the caller can act on is why the others did not answer, and not that one dislikes their words.
        judged = next((error for error in reversed(errors) if error.reason != "invalid_request"), errors[-1])
        failed.category, failed.retryable = judged.category, judged.retryable
    waits = [error.retry_after for error in errors if error.retry_after is not None]
    failed.retry_after = min(waits, default=None)
    return failed
