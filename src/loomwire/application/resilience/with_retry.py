"""with_retry: the library's retry for a host's own functions."""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeAlias, TypeGuard, TypeVar, overload

from loomwire.application.resilience.delays import GiveUp, Sent, delay, next_delay, sends_of
from loomwire.domain.errors import LLMValidationError, LoomError
from loomwire.domain.policies import RetryPolicy
from loomwire.domain.ports.clock import IClock

P = ParamSpec("P")
T = TypeVar("T")

RetryOn: TypeAlias = Callable[[Exception], bool]


def worth_retrying(error: Exception) -> bool:
    """Return whether `with_retry` tries again after an error, unless told otherwise.

    Errors of loomwire by their disposition, except those that a client of loomwire sent for: it has asked again
    already, and retries of retries multiply. Of others the built-in ConnectionError and TimeoutError.
    """
    if isinstance(error, LoomError):
        return error.disposition.retry_same and sends_of(error.steps) == 0
    return isinstance(error, ConnectionError | TimeoutError)


@dataclass(frozen=True, slots=True)
class Retry:
    """What `with_retry` returns: a decorator that holds the numbers and no state, so one may serve many functions."""

    policy: RetryPolicy
    deadline_s: float | None
    retry_on: RetryOn
    clock: IClock | None
    pause: Callable[[float], None]
    draw: Callable[[], float]

    @overload
    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[object, None, T]]: ...

    @overload
    def __call__(self, function: Callable[P, T]) -> Callable[P, T]: ...

    def __call__(self, function: Callable[P, object]) -> Callable[P, object]:
        """Return the function with retries; it keeps its name, its signature and its kind, sync or async.

        One that returns a coroutine, such as a lambda, is judged by how the coroutine ends, and called again.

        Raises:
            LLMValidationError: It is a generator function: what was delivered cannot be taken back.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise LLMValidationError(
                "with_retry cannot retry a generator: what it delivered cannot be taken back",
                hint="Decorate a function that returns its result as a whole.",
            )
        return self._async(function) if _is_async(function) else self._sync(function)

    def _async(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[object, None, T]]:
        @functools.wraps(function)
        async def retried(*args: P.args, **kwargs: P.kwargs) -> T:
            return await self._awaited(_Tries(self), partial(function, *args, **kwargs))

        return retried

    async def _awaited(self, tries: _Tries, begin: Callable[[], Awaitable[T]], begun: Awaitable[T] | None = None) -> T:
        sleep = asyncio.sleep if self.clock is None else self.clock.sleep
        while True:
            try:
                return await (begin() if begun is None else begun)
            except Exception as error:
                wait_s = tries.failed(error)
                if wait_s is None:
                    raise
            begun = None
            # Outside the handler, or the next failure would carry this one as its context.
            await sleep(wait_s)

    def _sync(self, function: Callable[P, object]) -> Callable[P, object]:
        @functools.wraps(function)
        def retried(*args: P.args, **kwargs: P.kwargs) -> object:
            tries = _Tries(self)
            while True:
                try:
                    result = function(*args, **kwargs)
                except Exception as error:
                    wait_s = tries.failed(error)
                    if wait_s is None:
                        raise
                    if _in_loop():
                        error.add_note("with_retry did not wait: a sync function was called inside a running loop")
                        raise
                else:
                    if not inspect.iscoroutine(result):
                        return result
                    # `lambda: client.generate(request)` has done nothing yet: what counts is how its coroutine ends.
                    return self._awaited(tries, partial(_finished, partial(function, *args, **kwargs)), result)
                self.pause(wait_s)

        return retried


class _Tries:
    """One call's tries."""

    __slots__ = ("_alike", "_end", "_made", "_retry")

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._end = math.inf if retry.deadline_s is None else self._now() + retry.deadline_s
        self._made = 0
        self._alike: dict[str, int] = {}

    def failed(self, error: Exception) -> float | None:
        """Return how long to wait for the next try, or None when there is none."""
        retry = self._retry
        self._made += 1
        if not retry.retry_on(error):
            return None
        wait_s = self._wait(error, self._end - self._now())
        return None if isinstance(wait_s, GiveUp) else wait_s

    def _wait(self, error: Exception, left_s: float) -> float | GiveUp:
        policy, draw = self._retry.policy, self._retry.draw
        if isinstance(error, LoomError):
            alike = self._alike.get(error.reason, 0)
            self._alike[error.reason] = alike + 1
            return next_delay(policy, error, Sent(self._made, alike=alike), left_s=left_s, draw=draw)
        if self._made >= policy.attempts:
            return GiveUp.ATTEMPTS
        return delay(policy, self._made, None, left_s=left_s, draw=draw)

    def _now(self) -> float:
        clock = self._retry.clock
        return time.monotonic() if clock is None else clock.now()


@overload
def with_retry(function: Callable[P, Awaitable[T]], /) -> Callable[P, Coroutine[object, None, T]]: ...


@overload
def with_retry(function: Callable[P, T], /) -> Callable[P, T]: ...


@overload
def with_retry(
    policy: RetryPolicy = ...,
    /,
    *,
    deadline_s: float | None = ...,
    retry_on: RetryOn = ...,
    clock: IClock | None = ...,
    pause: Callable[[float], None] = ...,
    draw: Callable[[], float] = ...,
) -> Retry: ...


def with_retry(
    given: RetryPolicy | Callable[P, object] = RetryPolicy(),
    /,
    *,
    deadline_s: float | None = None,
    retry_on: RetryOn = worth_retrying,
    clock: IClock | None = None,
    pause: Callable[[float], None] = time.sleep,
    draw: Callable[[], float] = random.random,
) -> Retry | Callable[P, object]:
    """Try a function again when it fails in a way that may pass: `@with_retry` or `@with_retry(RetryPolicy(...))`.

    The waits are those of the library's own clients: exponential, drawn anywhere between 0 and the limit, never shorter
    than the error's `retry_after`. The error that is raised in the end is the last one, as it is: no exception is
    wrapped, and CancelledError, KeyboardInterrupt and SystemExit are never taken for failures. Cancellation ends a wait
    at once.

    It is for a host's own functions. The clients of loomwire ask again by themselves.

    Args:
        given: The numbers (`total_attempts` counts here as `attempts` does), or the function itself.
        deadline_s: Seconds from the call on, after which no further try is started; a try that runs is not interrupted.
            None is no deadline.
        retry_on: Whether to try again after an exception; see `worth_retrying`.
        clock: The time, for tests; an async function sleeps by it.
        pause: How a sync function waits. It never waits inside a running event loop: there the first failure is raised.
        draw: Gives a number from 0 to 1.

    Raises:
        LLMValidationError: The deadline is no positive number of seconds, or the function is a generator.

    Example:
        >>> failures = [ConnectionError("gone"), ConnectionError("gone")]
        >>> @with_retry(RetryPolicy(base_s=0.0))
        ... def fetch() -> str:
        ...     if failures:
        ...         raise failures.pop()
        ...     return "here"
        >>> fetch()
        'here'
    """
    if deadline_s is not None and not deadline_s > 0:
        raise LLMValidationError("deadline_s must be a positive number of seconds", hint="Correct deadline_s.")
    policy = given if isinstance(given, RetryPolicy) else RetryPolicy()
    retry = Retry(policy, deadline_s, retry_on, clock, pause, draw)
    return retry if isinstance(given, RetryPolicy) else retry(given)


def _is_async(function: Callable[P, object]) -> TypeGuard[Callable[P, Awaitable[object]]]:
    # An object with an async __call__ is no coroutine function by itself.
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


async def _finished(function: Callable[[], object]) -> object:
    result = function()
    return await result if inspect.isawaitable(result) else result


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
