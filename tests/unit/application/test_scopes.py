from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest
from typing_extensions import override

from loomwire.application.scopes import within
from loomwire.domain.errors import LLMTimeoutError
from loomwire.domain.ports.clock import IClock
from loomwire.testing import FakeClock
from support.chains import never, turns


class HastyClock(IClock):
    """Ends its scopes a little before its own `now` says so, as event loops that round do."""

    @override
    def now(self) -> float:
        return 0.999

    @override
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)

    @override
    def timeout_at(self, at: float) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(0)


async def test_work_that_is_done_in_time_gives_its_result() -> None:
    async def work() -> int:
        return 7

    assert await within(FakeClock(), 1.0, "attempt", work) == 7


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("deadline", "the call's deadline passed"),
        ("ttft", "no first event came in time"),
        ("attempt", "the attempt took too long"),
    ],
)
async def test_a_passed_instant_becomes_a_typed_error_that_says_whose_it_was(reason: str, said: str) -> None:
    clock = FakeClock()
    waiting = asyncio.create_task(within(clock, 1.0, reason, never))
    await clock.advance(1.0)
    with pytest.raises(LLMTimeoutError, match=said) as caught:
        await waiting
    assert caught.value.reason == reason
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None, "the cancellation would carry frames that held the key"


async def test_work_is_not_begun_when_the_instant_has_passed() -> None:
    begun: list[bool] = []

    async def work() -> None:
        begun.append(True)

    with pytest.raises(LLMTimeoutError):
        await within(FakeClock(5.0), 5.0, "deadline", work)
    assert begun == []


async def test_somebody_elses_timeout_error_passes_as_it_is() -> None:
    async def work() -> None:
        raise TimeoutError("a tool of the host")

    with pytest.raises(TimeoutError, match="a tool of the host"):
        await within(FakeClock(), 1.0, "deadline", work)


async def test_a_timeout_error_that_comes_after_the_instant_is_the_instants() -> None:
    clock = FakeClock()

    async def work() -> None:
        try:
            await never()
        except asyncio.CancelledError:
            raise TimeoutError("the work's own scope ended at the same time") from None

    waiting = asyncio.create_task(within(clock, 1.0, "attempt", work))
    await clock.advance(1.0)
    with pytest.raises(LLMTimeoutError) as caught:
        await waiting
    assert caught.value.reason == "attempt"


async def test_a_loop_that_ends_the_scope_early_still_gives_the_typed_error() -> None:
    with pytest.raises(LLMTimeoutError) as caught:
        await within(HastyClock(), 1.0, "deadline", never)
    assert caught.value.reason == "deadline"


async def test_cancellation_from_outside_passes_untouched_and_after_the_clean_up() -> None:
    cleaned: list[bool] = []

    async def work() -> None:
        try:
            await never()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    waiting = asyncio.create_task(within(FakeClock(), 1.0, "deadline", work))
    await turns()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert cleaned == [True]
