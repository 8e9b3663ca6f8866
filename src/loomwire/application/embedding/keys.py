"""Rotated: several keys of one provider for the same model, so that one that is refused or throttled stops nobody."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from typing_extensions import override

from loomwire.application.embedding.layers import Asking, Terms
from loomwire.application.resilience.delays import sends_of
from loomwire.application.resilience.round import LAYER, all_failed, why_not
from loomwire.application.selection.options import Option
from loomwire.domain.errors import LLMError, LoomError
from loomwire.domain.faults import ErrorCategory
from loomwire.domain.policies import BalancePolicy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.reports.steps import Step
from loomwire.domain.vectors.embeddings import CallResult

Q = TypeVar("Q", bound=Terms)
A = TypeVar("A", bound=CallResult)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The terms on which the keys of a target take turns. Made at build time, without a state of its own.

    Attributes:
        name: The client's name, for errors.
        options: The target with each of its keys, or once without one.
        balance: The client's rule: where equal ones are to be asked in their order, so are the keys.
        clock: The time.
        draw: Gives a number from 0 to 1, to decide among keys that are equally busy.
        own_pace: The provider limits these sends apart from others to the model: one that is throttled says nothing
            of those.
    """

    name: str
    options: tuple[Option, ...]
    balance: BalancePolicy
    clock: IClock
    draw: Callable[[], float]
    own_pace: bool = False

    def ordered(self) -> list[Option]:
        """Return the keys in the order in which a send should try them: the least busy first."""
        rule = self.balance.equals if self.balance.policy == "ordered" else self.balance.policy
        if rule == "ordered" or len(self.options) == 1:
            return list(self.options)
        return sorted(self.options, key=lambda option: (option.load.in_flight, self.draw()))


class Rotated(Generic[Q, A]):
    """Sends with one key, and with the next one when that is refused, has no quota left, or is throttled for too long.

    Never to another model: its vectors have nothing to do with this one's, and its tokens are other tokens. Keys that
    rest come last, and what is learned of a key here is known to the client's chat as well. A failure that says nothing
    about the key is raised as it came; so is the only one. `AllTargetsFailedError` when several keys failed. The answer
    or the error carries the steps of all of them.

    Args:
        chains: The chain of each key.
        keys: The terms.
    """

    __slots__ = ("_chains", "_keys")

    def __init__(self, chains: Sequence[Asking[Q, A]], keys: Keys) -> None:
        """Ask `chains`, one for each of the options."""
        self._chains = dict(zip(keys.options, chains, strict=True))
        self._keys = keys

    async def __call__(self, request: Q) -> A:
        """Ask with one key after the other."""
        turn = _Turn(self._keys, request)
        while (option := turn.next()) is not None:
            try:
                answer = await self._asked(option, turn.request)
            except LoomError as error:
                if not turn.goes_on(option, error):
                    raise
            else:
                return turn.told(answer, option)
        # Outside the handler, or it would carry the last failure, and its frames, as its context.
        raise turn.exhausted()

    @override
    def __repr__(self) -> str:
        return f"Rotated({len(self._chains)}) > {next(iter(self._chains.values()))!r}"

    async def _asked(self, option: Option, request: Q) -> A:
        # Calls in flight and rests, and no latencies: those would be taken for the ones of the model's answers.
        option.load.began()
        try:
            return await self._chains[option](request)
        except LoomError as error:
            if not (self._keys.own_pace and error.category is ErrorCategory.RATE_LIMIT):
                option.resting.failed(error, self._keys.clock.now())
            raise
        finally:
            option.load.left()


class _Turn(Generic[Q]):
    """One send on its way through the keys. Lives as long as the send.

    Attributes:
        request: What to send with the key that is next.
    """

    __slots__ = ("_bound", "_errors", "_keys", "_left", "_steps", "request")

    def __init__(self, keys: Keys, request: Q) -> None:
        self.request = request
        self._bound = request.bound
        self._keys = keys
        self._left = keys.ordered()
        self._errors: list[LLMError] = []
        self._steps: tuple[Step, ...] = ()

    def next(self) -> Option | None:
        """Return which key to send with; None when none is left or may be tried any more."""
        left, now = self._left, self._keys.clock.now()
        if not left:
            return None
        # The first of those that do not rest. When all do, the first to be asked again: a rest is no reason to refuse.
        at = min(range(len(left)), key=lambda place: left[place].resting.left_s(now))
        option = left[at]
        if self._errors and (why := why_not(option, self._bound, self._steps, now)) is not None:
            self._steps += (Step(LAYER, option.name, why),)
            return None
        if not option.is_admitted:
            # Its keys have one circuit. Nobody waits for a turn to be told by the breaker.
            self._left = []
            self._note(option.refusal())
            return None
        passed = left[:at]
        self._steps += tuple(Step(LAYER, one.name, "passed_over", one.resting.reason(now)) for one in passed)
        self._left = [*left[at + 1 :], *passed]
        self._tell_below()
        return option

    def goes_on(self, option: Option, error: LoomError) -> bool:
        """Take a failure, and return whether another key is to be looked for; else the error has all steps now."""
        if not isinstance(error, LLMError) or not _is_of_key(error) or not (self._left or self._errors):
            error.steps = (*self._steps, *error.steps)
            return False
        self._note(error, Step(LAYER, option.name, "failed", error.reason))
        return True

    def told(self, answer: A, option: Option) -> A:
        """Return the answer with the steps of everything that came before it."""
        if not self._steps:
            return answer
        for step in reversed((*self._steps, Step(LAYER, option.name, "chosen"))):
            answer = answer.with_step(step)
        return answer

    def exhausted(self) -> LLMError:
        """Return the error of a send for which no key is left: its own when only one was tried."""
        errors, self._errors = self._errors, []
        if len(errors) > 1:
            return all_failed(self._keys.name, errors, self._steps)
        errors[0].steps = self._steps
        return errors[0]

    def _tell_below(self) -> None:
        bound = self._bound
        if bound is not None and (self._left or self._errors):
            sent, now = bound.sent + sends_of(self._steps), self._keys.clock.now()
            free = any(not one.resting.left_s(now) for one in self._left)
            # A wait that one key has to keep is none of another's.
            told = replace(bound, sent=sent, further=bool(self._left), patience_s=0.0 if free else math.inf)
            self.request = self.request.with_bound(told)

    def _note(self, error: LLMError, step: Step | None = None) -> None:
        self._steps += error.steps if step is None else (*error.steps, step)
        # It outlives this send's frames, which hold the request.
        error.__traceback__ = None
        self._errors.append(error)


def _is_of_key(error: LoomError) -> bool:
    # A slot is a key's own too.
    may = error.disposition
    return may.falls_back and (may.cooldown_scope in ("key", "key+model") or error.reason == "queue")
