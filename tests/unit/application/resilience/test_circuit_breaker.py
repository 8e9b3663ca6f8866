from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from loomwire.application.resilience.circuit_breaker import CircuitBreaker
from loomwire.application.state.breaking.permits import CircuitState
from loomwire.domain.errors import CircuitOpenError, LLMNetworkError, LLMValidationError
from loomwire.domain.policies import BreakerPolicy
from loomwire.domain.reports.steps import Step
from loomwire.testing import FakeClock
from support.forking import is_true_in_child

POLICY = BreakerPolicy(consecutive=2, probes=2)


def breaker_with(clock: FakeClock) -> CircuitBreaker:
    return CircuitBreaker("search", POLICY, now=clock.now, draw=lambda: 0.5)


def lookup(words: str, *, fails: bool = False) -> int:
    """Count letters."""
    if fails:
        raise ConnectionError(words)
    return len(words)


async def fetch(words: str, *, fails: bool = False) -> int:
    """Count letters, later."""
    await asyncio.sleep(0)
    return lookup(words, fails=fails)


def trip(breaker: CircuitBreaker) -> None:
    for _ in range(2):
        with pytest.raises(ConnectionError):
            breaker.call(lookup, "down", fails=True)


def test_a_function_keeps_its_name_its_results_and_its_errors() -> None:
    guarded = breaker_with(FakeClock())(lookup)
    assert (guarded.__name__, guarded.__doc__) == ("lookup", "Count letters.")
    assert guarded("tea") == 3
    with pytest.raises(ConnectionError, match="down"):
        guarded("down", fails=True)


def test_an_open_breaker_does_not_call_and_says_exactly_when_to_come_again() -> None:
    clock = FakeClock()
    breaker = breaker_with(clock)
    trip(breaker)
    with pytest.raises(CircuitOpenError, match="the circuit of search is open") as caught:
        breaker.call(lookup, "tea")
    assert caught.value.retry_after == 5
    assert caught.value.steps == (Step("breaker", "search", "refused", "circuit_open"),)
    clock.move(5)
    assert [breaker.call(lookup, "tea") for _ in range(2)] == [3, 3]
    assert breaker.state is CircuitState.CLOSED


async def test_an_async_function_stays_one_and_is_judged_when_it_ends() -> None:
    breaker = breaker_with(FakeClock())
    guarded = breaker(fetch)
    assert inspect.iscoroutinefunction(guarded)
    assert await guarded("tea") == await breaker.call(fetch, "tea") == 3
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await guarded("down", fails=True)
    refused = guarded("tea")
    with pytest.raises(CircuitOpenError):
        await refused


async def test_a_function_that_returns_a_coroutine_is_judged_by_how_that_ends() -> None:
    breaker = breaker_with(FakeClock())
    assert await breaker.call(lambda: fetch("tea")) == 3
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await breaker.call(lambda: fetch("down", fails=True))
    with pytest.raises(CircuitOpenError):
        await breaker.call(lambda: fetch("tea"))
    assert await CircuitBreaker().call(functools.partial(fetch, "tea")) == 3


def test_a_block_is_guarded_with_with() -> None:
    breaker = breaker_with(FakeClock())
    for _ in range(2):
        with pytest.raises(ConnectionError), breaker.around():
            raise ConnectionError
    with pytest.raises(CircuitOpenError), breaker.around():
        raise AssertionError("the block must not run")


async def test_a_block_is_guarded_with_async_with() -> None:
    breaker = breaker_with(FakeClock())
    async with breaker.around():
        await asyncio.sleep(0)
    assert (breaker.status.calls, breaker.status.failures) == (1, 0)


def test_leaving_a_block_that_was_not_entered_does_nothing() -> None:
    breaker = breaker_with(FakeClock())
    breaker.around().__exit__(None, None, None)
    assert breaker.status.calls == 0


@pytest.mark.parametrize("leaving", [KeyboardInterrupt(), SystemExit(), asyncio.CancelledError()])
def test_what_is_no_failure_passes_and_counts_for_nobody(leaving: BaseException) -> None:
    breaker = breaker_with(FakeClock())
    for _ in range(5):
        with pytest.raises(type(leaving)), breaker.around():
            raise leaving
    assert breaker.status.calls == 0


def test_errors_of_loomwire_count_by_their_disposition() -> None:
    breaker = breaker_with(FakeClock())
    for _ in range(5):
        with pytest.raises(LLMValidationError), breaker.around():
            raise LLMValidationError("the caller's own")
    assert breaker.status.calls == 0
    with pytest.raises(LLMNetworkError), breaker.around():
        raise LLMNetworkError("reset")
    assert (breaker.status.failures, breaker.status.error) == (1, "NET003")


def test_a_host_says_which_errors_count() -> None:
    breaker = CircuitBreaker("files", POLICY, counts=lambda error: not isinstance(error, FileNotFoundError))
    for _ in range(5):
        with pytest.raises(FileNotFoundError), breaker.around():
            raise FileNotFoundError
    with pytest.raises(OSError, match="disk"), breaker.around():
        raise OSError("disk")
    assert (breaker.status.calls, breaker.status.error) == (1, "OSError")


def test_a_host_whose_judgement_raises_gets_its_error_and_no_permit_is_lost() -> None:
    def judge(error: Exception) -> bool:
        raise ZeroDivisionError from error

    clock = FakeClock()
    breaker = CircuitBreaker("x", POLICY, counts=judge, now=clock.now, draw=lambda: 0.5)
    breaker.force_open()
    clock.move(5)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), breaker.around():
            raise OSError
    assert (breaker.state, breaker.status.probes) == (CircuitState.HALF_OPEN, 0)


def test_generator_functions_are_refused_because_calling_them_does_nothing() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def later() -> AsyncIterator[int]:
        yield 1

    for function in (numbers, later):
        with pytest.raises(LLMValidationError, match="generator") as caught:
            breaker_with(FakeClock())(function)
        assert "breaker.around()" in caught.value.hint


def test_an_operator_opens_closes_isolates_and_resets_it() -> None:
    clock = FakeClock()
    breaker = breaker_with(clock)
    breaker.force_open()
    assert repr(breaker) == "CircuitBreaker('search', open)"
    breaker.force_closed()
    trip(breaker)
    trip(breaker)
    assert breaker.call(lookup, "tea") == 3
    breaker.isolate()
    clock.move(1e6)
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call(lookup, "tea")
    assert caught.value.retry_after is None
    breaker.reset()
    assert breaker.call(lookup, "tea") == 3


def test_without_a_policy_the_defaults_hold() -> None:
    breaker = CircuitBreaker()
    for _ in range(8):
        with pytest.raises(ConnectionError):
            breaker.call(lookup, "down", fails=True)
    assert (breaker.name, breaker.state) == ("function", CircuitState.OPEN)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_process_has_a_lock_of_its_own() -> None:
    in_child: list[bool] = []
    meanwhile: list[Callable[[], None]] = []

    def now() -> float:
        while meanwhile:
            meanwhile.pop()()
        return 0.0

    def fork_while_the_lock_is_held() -> None:
        in_child.append(is_true_in_child(lambda: breaker.call(lookup, "tea") == 3))
        breaker.after_fork()

    breaker = CircuitBreaker("search", POLICY, now=now)
    meanwhile.append(fork_while_the_lock_is_held)
    breaker.reset()
    assert in_child == [True]
