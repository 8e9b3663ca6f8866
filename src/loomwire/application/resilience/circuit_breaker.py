"""CircuitBreaker: the breaker of the chain for a host's own functions."""

from __future__ import annotations

import functools
import inspect
import random
import time
from collections.abc import Callable, Coroutine
from typing import ParamSpec, TypeVar, final, overload

from typing_extensions import override

from loomwire.application.forks import renew_after_fork
from loomwire.application.resilience.passage import Passage
from loomwire.application.state.breaking.circuit import LEASE_S, Circuit
from loomwire.application.state.breaking.permits import CircuitState, CircuitStatus
from loomwire.domain.errors import LLMValidationError, LoomError
from loomwire.domain.policies import BreakerPolicy

P = ParamSpec("P")
T = TypeVar("T")


def counts_as_failure(error: Exception) -> bool:
    """Say whether an error speaks against what was called: an error of loomwire by its disposition, any other does."""
    return error.disposition.trips_breaker if isinstance(error, LoomError) else True


@final
class CircuitBreaker:
    """Stops calling what keeps failing, and looks carefully whether it is well again.

    Works around functions, async functions and blocks. What it lets through runs as if it were not there: results and
    errors pass unchanged. Cancellation, `KeyboardInterrupt` and `SystemExit` count for nobody. One breaker guards one
    thing; share it by tasks, threads and event loops.

    Args:
        name: What it guards, for messages.
        policy: When it opens, and for how long; `slow_after_s` is taken from start to end.
        counts: Which errors are failures; others are the caller's own and count for nobody.
        lease_s: How long a probe may take, in seconds, before another call may be one.
        now: Monotonic seconds; tests give `FakeClock().now`.
        draw: A random number from 0 to 1, for the jitter.

    Example:
        >>> breaker = CircuitBreaker("search", BreakerPolicy(consecutive=2))
        >>> @breaker
        ... def search(words: str) -> int:
        ...     raise ConnectionError(words)
        >>> for _ in range(3):
        ...     try:
        ...         search("tea")
        ...     except (ConnectionError, LoomError) as error:
        ...         print(type(error).__name__)
        ConnectionError
        ConnectionError
        CircuitOpenError
    """

    def __init__(
        self,
        name: str = "function",
        policy: BreakerPolicy | None = None,
        *,
        counts: Callable[[Exception], bool] = counts_as_failure,
        lease_s: float = LEASE_S,
        now: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Start closed."""
        self._circuit = Circuit(name, policy or BreakerPolicy(), lease_s=lease_s, now=now, draw=draw)
        self._counts = counts
        renew_after_fork(self)

    @override
    def __repr__(self) -> str:
        return f"CircuitBreaker({self.name!r}, {self.state.value})"

    @property
    def name(self) -> str:
        """What it guards."""
        return self._circuit.name

    @property
    def state(self) -> CircuitState:
        """Whether it lets calls through: all, none, or a few to see whether all is well again."""
        return self._circuit.status().state

    @property
    def status(self) -> CircuitStatus:
        """Its state with reason, counts and times, as it is now."""
        return self._circuit.status()

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[object, object, T]]
    ) -> Callable[P, Coroutine[None, None, T]]: ...

    @overload
    def __call__(self, function: Callable[P, T]) -> Callable[P, T]: ...

    def __call__(self, function: Callable[P, object]) -> Callable[P, object]:
        """Return the function, guarded; async functions stay async functions.

        Args:
            function: Any function but a generator, whose call does none of its work. One that returns a coroutine is
                judged by how the coroutine ends.

        Raises:
            LLMValidationError: It is a generator function; put `with breaker.around():` inside of it.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise LLMValidationError(
                f"the circuit breaker {self.name!r} cannot wrap a generator function",
                hint="Put `with breaker.around():` around the part that may fail.",
            )
        if inspect.iscoroutinefunction(function):
            return self._awaiting(function)

        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> object:
            passage = self.around()
            with passage:
                result = function(*args, **kwargs)
                # `lambda: client.generate(request)` has done nothing yet: what counts is how its coroutine ends.
                return _awaited(passage.handed_on(), result) if inspect.iscoroutine(result) else result

        return guarded

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function guarded; `await breaker.call(f, x)` for an async one.

        Returns:
            What the function returns.

        Raises:
            CircuitOpenError: It is open; the function was not called.
        """
        return self(function)(*args, **kwargs)

    def around(self) -> Passage:
        """Return a context for one block, for `with` and for `async with`; it judges by what leaves the block.

        Raises:
            CircuitOpenError: On entering; `retry_after` says when a call is let through, None when nobody can know.
        """
        return Passage(self._circuit, self._counts)

    def force_open(self) -> None:
        """Open it as if it had failed; it looks again when its time is up."""
        self._circuit.force_open()

    def force_closed(self) -> None:
        """Let every call through, whatever happens, until `reset`."""
        self._circuit.force_closed()

    def isolate(self) -> None:
        """Let no call through until `reset`."""
        self._circuit.isolate()

    def reset(self) -> None:
        """Close it and forget everything."""
        self._circuit.reset()

    def after_fork(self) -> None:
        """Go on in a child with a lock of its own."""
        self._circuit.after_fork()

    def _awaiting(self, function: Callable[P, Coroutine[object, object, T]]) -> Callable[P, Coroutine[None, None, T]]:
        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            with self.around():
                return await function(*args, **kwargs)

        return guarded


async def _awaited(passage: Passage, work: Coroutine[object, object, T]) -> T:
    with passage:
        return await work
