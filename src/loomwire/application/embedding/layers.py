"""The layers of calls that are no conversation: embedding, ranking and counting pass through the same ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, Self, TypeVar

from typing_extensions import override

from loomwire.application.guard import Guard, OperationName, Outcome
from loomwire.application.scopes import GRACE_S, within
from loomwire.application.state.pacing.measured import SizedOperation
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, LoomError
from loomwire.domain.policies import TimeoutPolicy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.requests import Bound
from loomwire.domain.vectors.embeddings import CallResult


class Terms(Protocol):
    """What the layers need of a request, of whatever kind."""

    @property
    @abstractmethod
    def tenant(self) -> str | None:
        """On whose behalf."""

    @property
    @abstractmethod
    def session(self) -> str | None:
        """Which conversation."""

    @property
    @abstractmethod
    def tags(self) -> frozenset[str]:
        """Free words."""

    @property
    @abstractmethod
    def bound(self) -> Bound | None:
        """The instant at which the call or the attempt ends."""

    @abstractmethod
    def bound_for(self, now: float, total_s: float) -> Bound:
        """Return the bound that is there, or the deadline counted from `now`."""

    @abstractmethod
    def with_bound(self, bound: Bound) -> Self:
        """Return the request with another bound."""


Q = TypeVar("Q", bound=Terms)
A = TypeVar("A", bound=CallResult)
Q_contra = TypeVar("Q_contra", bound=Terms, contravariant=True)
A_co = TypeVar("A_co", bound=CallResult, covariant=True)


class Asking(Protocol[Q_contra, A_co]):
    """One way to have a request answered: a leaf's method, or a layer around another way."""

    @abstractmethod
    async def __call__(self, request: Q_contra, /) -> A_co:
        """Return the answer to a request."""


class Named(Generic[Q, A]):
    """A leaf's method, shown by the leaf's own words.

    Args:
        ask: The method.
        leaf: Whose it is.
    """

    __slots__ = ("_ask", "_leaf")

    def __init__(self, ask: Asking[Q, A], leaf: object) -> None:
        """Stand for `ask`."""
        self._ask = ask
        self._leaf = leaf

    async def __call__(self, request: Q) -> A:
        """Ask the leaf."""
        return await self._ask(request)

    @override
    def __repr__(self) -> str:
        return repr(self._leaf)


class Deadlined(Generic[Q, A]):
    """Fixes the deadline once, hands it down as `request.bound`, and ends the call when it passes.

    Args:
        inner: The layer below.
        total_s: Seconds for a call whose request says nothing.
        clock: The time.
    """

    __slots__ = ("_clock", "_inner", "_total_s")

    def __init__(self, inner: Asking[Q, A], *, total_s: float, clock: IClock) -> None:
        """Bound every call of `inner`."""
        self._inner = inner
        self._total_s = total_s
        self._clock = clock

    async def __call__(self, request: Q) -> A:
        """Ask within the deadline."""
        bound = request.bound_for(self._clock.now(), self._total_s)
        bounded = request.with_bound(bound)
        return await within(self._clock, bound.at, bound.reason, lambda: self._inner(bounded), GRACE_S)

    @override
    def __repr__(self) -> str:
        return f"Deadline > {self._inner!r}"


class Limited(Generic[Q, A]):
    """Ends one send after `attempt_s`; what would outlast the call's own bound ends with that.

    Args:
        inner: The layer below.
        timeouts: The limits.
        clock: The time.
    """

    __slots__ = ("_clock", "_inner", "_timeouts")

    def __init__(self, inner: Asking[Q, A], *, timeouts: TimeoutPolicy, clock: IClock) -> None:
        """Limit every send of `inner`."""
        self._inner = inner
        self._timeouts = timeouts
        self._clock = clock

    async def __call__(self, request: Q) -> A:
        """Ask within the limit."""
        bound = Bound(self._clock.now() + self._timeouts.attempt_s, "attempt")
        if request.bound is not None and request.bound.at <= bound.at:
            call = request.bound
            return await within(self._clock, call.at, call.reason, lambda: self._inner(request))
        narrowed = request.with_bound(bound)
        return await within(self._clock, bound.at, bound.reason, lambda: self._inner(narrowed))

    @override
    def __repr__(self) -> str:
        return f"Timed > {self._inner!r}"


class Guarded(Generic[Q, A]):
    """Surrounds every call with a guard and notes the guard's step on the answer or the error.

    Args:
        inner: The layer below.
        guard: The guard.
        name: What is done, for the records.
        size: Returns the estimated tokens of a request, for guards that count them.
    """

    __slots__ = ("_guard", "_inner", "_name", "_size")

    def __init__(
        self, inner: Asking[Q, A], guard: Guard, name: OperationName, size: Callable[[Q], int] | None = None
    ) -> None:
        """Surround `inner`."""
        self._inner = inner
        self._guard = guard
        self._name: OperationName = name
        self._size = size or _nothing

    async def __call__(self, request: Q) -> A:
        """Ask inside the guard."""
        operation = SizedOperation(
            name=self._name,
            tenant=request.tenant,
            session=request.session,
            tags=request.tags,
            bound=request.bound,
            size=partial(self._size, request),
        )
        async with self._guard.around(operation) as outcome:
            try:
                answer = await self._inner(request)
            except LoomError as error:
                outcome.failed(error)
                if outcome.step is not None:
                    error.with_step(outcome.step)
                raise
            except Exception as error:
                # Somebody else's leaf broke its promise: its error goes on as it is, and counts.
                outcome.failed(LLMError(f"what does {self._name} raised {type(error).__name__}", reason="internal"))
                raise
            self._tell(outcome, answer)
            return answer if outcome.step is None else answer.with_step(outcome.step)

    @override
    def __repr__(self) -> str:
        return f"{self._guard!r} > {self._inner!r}"

    def _tell(self, outcome: Outcome, answer: A) -> None:
        outcome.answered(answer.usage, answer.cost, answer.model)
        if answer.rate_limits is not None:
            outcome.heard(answer.rate_limits)


def _nothing(_: object) -> int:
    return 0


class Located(Generic[Q, A]):
    """Tells an error from below which target it came from.

    Args:
        inner: The layer below.
        config: The target.
    """

    __slots__ = ("_config", "_inner")

    def __init__(self, inner: Asking[Q, A], config: LLMConfig) -> None:
        """Name the target of `inner`."""
        self._inner = inner
        self._config = config

    async def __call__(self, request: Q) -> A:
        """Ask, and locate what is raised."""
        try:
            return await self._inner(request)
        except LoomError as error:
            error.located(self._config.name, self._config.model)
            raise

    @override
    def __repr__(self) -> str:
        return f"Located({self._config.target}) > {self._inner!r}"


class Prepared(Generic[Q, A]):
    """Hands on another request in place of the one that came.

    Args:
        inner: The layer below.
        prepare: Makes the other request; raises what the caller gets.
        name: What it does, in the words of the chat's layer that does the same.
    """

    __slots__ = ("_inner", "_name", "_prepare")

    def __init__(self, inner: Asking[Q, A], prepare: Callable[[Q], Q], name: str) -> None:
        """Prepare every request of `inner`."""
        self._inner = inner
        self._prepare = prepare
        self._name = name

    async def __call__(self, request: Q) -> A:
        """Ask with the other request."""
        return await self._inner(self._prepare(request))

    @override
    def __repr__(self) -> str:
        return f"{self._name} > {self._inner!r}"
