"""with_retry on a host's own functions, sync and async."""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from loomwire.application.resilience.with_retry import Retry, with_retry, worth_retrying
from loomwire.domain.errors import (
    LLMNetworkError,
    LLMProtocolError,
    LLMRateLimitError,
    LLMTemporaryError,
    LLMValidationError,
    LoomError,
)
from loomwire.domain.policies import RetryPolicy
from loomwire.domain.reports.steps import Step
from loomwire.testing import FakeClock
from support.chains import turns
from support.retrying import ended, longest

DOWN = LLMTemporaryError("down")
AT_ONCE = RetryPolicy(base_s=0.0)


class Work:
    """Fails with the given exceptions in turn, then answers; counts how often it was asked."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.asked = 0

    def now(self) -> str:
        """Answer at once."""
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"

    async def later(self) -> str:
        """Answer in a loop."""
        return self.now()


class Pauses(list[float]):
    """The waits of a sync function, and a clock that they move."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()

    def __call__(self, seconds: float) -> None:
        self.append(seconds)
        self.clock.move(seconds)


def patient(pauses: Pauses, policy: RetryPolicy = RetryPolicy(), deadline_s: float | None = None) -> Retry:
    """Return a decorator whose delays are the longest there are."""
    return with_retry(policy, deadline_s=deadline_s, clock=pauses.clock, pause=pauses, draw=longest)


def test_a_sync_function_waits_exponentially_and_answers() -> None:
    pauses, work = Pauses(), Work(DOWN, ConnectionError("gone"))
    assert patient(pauses)(work.now)() == "done"
    assert pauses == [0.5, 1.0]


async def test_an_async_function_waits_by_the_clock_and_answers() -> None:
    pauses, work = Pauses(), Work(DOWN, LLMRateLimitError("slow down", retry_after=20.0))
    assert await ended(pauses.clock, patient(pauses)(work.later)(), 22.5) == "done"
    assert (work.asked, pauses) == (3, [])


def test_without_words_it_takes_the_defaults_and_real_time() -> None:
    work = Work(LLMTemporaryError("down"))

    @with_retry(AT_ONCE)
    def told() -> str:
        return work.now()

    @with_retry
    def untold() -> str:
        return "done"

    began = time.monotonic()
    assert (told(), untold(), work.asked) == ("done", "done", 2)
    assert time.monotonic() - began < 5.0


async def test_without_words_an_async_function_takes_the_loops_time() -> None:
    work = Work(DOWN)
    assert await with_retry(AT_ONCE)(work.later)() == "done"
    assert await with_retry(work.later)() == "done"


def test_the_last_error_is_raised_as_it_is() -> None:
    last = ConnectionResetError("third")
    work = Work(ConnectionError("first"), DOWN, last)
    with pytest.raises(ConnectionResetError) as caught:
        patient(Pauses())(work.now)()
    assert caught.value is last
    assert caught.value.__context__ is None
    assert work.asked == 3


async def test_an_async_functions_last_error_is_raised_as_it_is() -> None:
    last = TimeoutError("second")
    work = Work(DOWN, last)
    with pytest.raises(TimeoutError) as caught:
        await with_retry(RetryPolicy(attempts=2, base_s=0.0))(work.later)()
    assert caught.value is last
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "error", [LLMValidationError("wrong"), ValueError("theirs"), KeyboardInterrupt(), SystemExit(), OSError("disk")]
)
def test_what_will_not_pass_is_raised_at_once(error: BaseException) -> None:
    work = Work(error)
    with pytest.raises(type(error)) as caught:
        with_retry(work.now)()
    assert caught.value is error
    assert work.asked == 1


def test_a_host_may_say_what_is_worth_it() -> None:
    work = Work(KeyError("a"), ValueError("b"))
    only_keys = with_retry(AT_ONCE, retry_on=lambda error: isinstance(error, KeyError))
    with pytest.raises(ValueError, match="b"):
        only_keys(work.now)()
    assert work.asked == 2


def test_a_hosts_word_outweighs_the_table_but_not_the_attempts() -> None:
    work = Work(*(LLMValidationError("wrong") for _ in range(9)))
    with pytest.raises(LLMValidationError):
        with_retry(AT_ONCE, retry_on=lambda _: True)(work.now)()
    assert work.asked == 3


def test_what_a_client_has_sent_again_already_is_not_sent_again() -> None:
    error: LoomError = LLMNetworkError("reset")
    assert worth_retrying(error)
    assert not worth_retrying(error.with_step(Step("attempt", "vendor/m", "failed", "reset")))


def test_an_error_with_a_limit_of_its_own_keeps_it() -> None:
    work = Work(*(LLMProtocolError("no JSON") for _ in range(9)))
    with pytest.raises(LLMProtocolError):
        with_retry(RetryPolicy(attempts=5, base_s=0.0))(work.now)()
    assert work.asked == 2


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    pauses, work = Pauses(), Work(DOWN, LLMRateLimitError("slow down", retry_after=2.0))
    with pytest.raises(LLMRateLimitError):
        patient(pauses, deadline_s=2.4)(work.now)()
    assert pauses == [0.5]


def test_a_wait_of_our_own_uses_what_the_deadline_leaves() -> None:
    pauses, work = Pauses(), Work(DOWN, ConnectionError("gone"))
    assert patient(pauses, deadline_s=0.75)(work.now)() == "done"
    assert pauses == [0.5, 0.25]


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, math.nan])
def test_a_deadline_that_has_passed_already_is_refused(deadline_s: float) -> None:
    with pytest.raises(LLMValidationError, match="deadline_s"):
        with_retry(deadline_s=deadline_s)


async def test_cancelling_ends_a_wait_at_once() -> None:
    pauses, work = Pauses(), Work(DOWN, DOWN)
    call = asyncio.create_task(patient(pauses)(work.later)())
    await turns()
    assert pauses.clock.waiting == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (pauses.clock.waiting, work.asked) == (0, 1)


async def test_cancellation_of_the_function_is_no_failure() -> None:
    work = Work(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await with_retry(AT_ONCE, retry_on=lambda _: True)(work.later)()
    assert work.asked == 1


async def test_a_sync_function_never_waits_inside_a_running_loop() -> None:
    pauses, work = Pauses(), Work(ConnectionError("gone"))
    with pytest.raises(ConnectionError) as caught:
        patient(pauses)(work.now)()
    assert pauses == []
    assert caught.value.__notes__ == ["with_retry did not wait: a sync function was called inside a running loop"]


def test_the_function_keeps_its_name_arguments_and_kind() -> None:
    @with_retry
    async def fetch(page: int, *, size: int = 1) -> int:
        """Fetch a page."""
        return page * size

    assert (fetch.__name__, fetch.__doc__) == ("fetch", "Fetch a page.")
    assert inspect.iscoroutinefunction(fetch)
    assert asyncio.run(fetch(3, size=2)) == 6


async def test_partials_and_objects_with_an_async_call_are_async_too() -> None:
    class Fetch:
        def __init__(self) -> None:
            self.work = Work(DOWN)

        async def __call__(self, word: str) -> str:
            return await self.work.later() + word

    assert await with_retry(AT_ONCE)(functools.partial(Fetch().__call__, "!"))() == "done!"
    assert await with_retry(AT_ONCE)(Fetch())("?") == "done?"


async def test_a_function_that_only_returns_a_coroutine_is_tried_again_too() -> None:
    def begin(work: Work) -> Awaitable[str]:
        return work.later()

    work, wrong = Work(ConnectionError(), ConnectionError()), Work(ConnectionError(), KeyError("x"))
    assert await with_retry(AT_ONCE)(begin)(work) == "done"
    with pytest.raises(KeyError):
        await with_retry(AT_ONCE)(begin)(wrong)
    assert (work.asked, wrong.asked) == (3, 2)


async def test_a_function_may_return_a_coroutine_at_one_try_and_a_result_at_the_next() -> None:
    work = Work(ConnectionError(), ConnectionError())
    ways: Iterator[Callable[[], object]] = iter([work.later, work.now, work.now])

    def begin() -> object:
        return next(ways)()

    begun = with_retry(AT_ONCE)(begin)()
    assert inspect.isawaitable(begun)
    assert (await begun, work.asked) == ("done", 3)


def test_generators_are_refused_because_nothing_can_be_taken_back() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def words() -> AsyncIterator[str]:
        yield "a"

    for function in (numbers, words):
        with pytest.raises(LLMValidationError, match="generator"):
            with_retry(function)


def test_one_decorator_serves_many_functions_and_keeps_nothing_between_calls() -> None:
    pauses = Pauses()
    retry = patient(pauses, RetryPolicy(attempts=2))
    first, second = Work(DOWN), Work(DOWN)
    functions = [retry(first.now), retry(second.now)]
    assert [function() for function in functions] == ["done", "done"]
    first.failures.append(DOWN)
    assert functions[0]() == "done"
    assert pauses == [0.5, 0.5, 0.5]
