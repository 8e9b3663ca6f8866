from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from typing_extensions import override

from loomwire import LLMContainer, LLMRequest
from loomwire.domain.errors import ClientRemovedError, LLMValidationError
from loomwire.domain.values import JSON
from loomwire.hosts.signals import ClosingOnSignals
from support.chains import turns
from support.folders import folder

HI = LLMRequest.of("Hi")


@contextmanager
def course(number: signal.Signals) -> Generator[list[int]]:
    """Give a signal a course of the host's own, and tell how often it took it."""
    taken: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        taken.append(number)

    before = signal.signal(number, handle)
    try:
        yield taken
        assert signal.getsignal(number) is handle
    finally:
        signal.signal(number, before)


def late(where: Path, delay_s: float) -> LLMContainer:
    """Open a container whose answers are late."""
    script: list[Mapping[str, JSON]] = [{"text": "At last.", "delay_s": delay_s, "repeat": True}]
    return LLMContainer.open(folder(where, script), watch=False)


def asked(container: LLMContainer, threads: ThreadPoolExecutor) -> Future[str]:
    """Ask on another thread, and return when it has begun."""
    answer = threads.submit(lambda: container.sync_client("planner").generate(HI).text)
    while not container.health().in_flight:
        threading.Event().wait(0.002)
    return answer


def ends(thread_names: set[str]) -> bool:
    """Tell whether no thread of a watch is left."""
    return not any(thread.name in thread_names for thread in threading.enumerate())


def test_the_first_signal_lets_calls_end_and_then_takes_its_course(tmp_path: Path) -> None:
    with course(signal.SIGTERM) as taken, late(tmp_path, 0.1) as container, ThreadPoolExecutor(1) as threads:
        with ClosingOnSignals(container):
            answer = asked(container, threads)
            signal.raise_signal(signal.SIGTERM)
            assert answer.result(5) == "At last."
        assert taken == [signal.SIGTERM]
        assert container.closed
    assert ends({"loomwire-signals", "loomwire-signals-close"})


def test_a_second_signal_of_any_kind_ends_the_calls(tmp_path: Path) -> None:
    with course(signal.SIGTERM) as taken, late(tmp_path, 30) as container, ThreadPoolExecutor(1) as threads:
        with ClosingOnSignals(container, drain=60):
            answer = asked(container, threads)
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(ClientRemovedError):
                answer.result(5)
        assert taken == [signal.SIGTERM]


async def test_in_an_event_loop_it_is_the_same(tmp_path: Path) -> None:
    with course(signal.SIGUSR1) as taken:
        container = await asyncio.to_thread(late, tmp_path, 30)
        async with ClosingOnSignals(container, signal.SIGUSR1, drain=0.01):
            call = asyncio.create_task(container.llm_client("planner").generate(HI))
            await asyncio.sleep(0)
            signal.raise_signal(signal.SIGUSR1)
            with pytest.raises(ClientRemovedError):
                await call
            await container.aclose()
        assert taken == [signal.SIGUSR1]


def test_without_a_signal_nothing_is_left_behind_and_the_container_is_open(tmp_path: Path) -> None:
    with course(signal.SIGINT) as taken, late(tmp_path, 0) as container:
        with ClosingOnSignals(container):
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert container.sync_client("planner").generate(HI).text == "At last."
        assert taken == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_that_cannot_be_handled_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    with late(tmp_path, 0) as container:
        watched = ClosingOnSignals(container, signal.SIGTERM, signal.SIGKILL)
        with pytest.raises(OSError, match="Invalid argument"), watched:
            raise AssertionError
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_only_the_main_thread_handles_signals(tmp_path: Path) -> None:
    def elsewhere() -> None:
        with ClosingOnSignals(container):
            raise AssertionError

    with late(tmp_path, 0) as container, ThreadPoolExecutor(1) as threads:
        entering = threads.submit(elsewhere)
        with pytest.raises(LLMValidationError, match="main thread only"):
            entering.result(5)


async def test_inside_a_loop_the_plain_block_would_stop_it(tmp_path: Path) -> None:
    container = await asyncio.to_thread(late, tmp_path, 0)
    with pytest.raises(LLMValidationError, match="use `async with ClosingOnSignals"):
        ClosingOnSignals(container).__enter__()
    await container.aclose()


async def test_a_block_that_is_left_while_calls_end_waits_for_them_without_stopping_the_loop(tmp_path: Path) -> None:
    with course(signal.SIGTERM) as taken:
        container = await asyncio.to_thread(late, tmp_path, 0.05)
        async with ClosingOnSignals(container):
            call = asyncio.create_task(container.llm_client("planner").generate(HI))
            await turns()
            signal.raise_signal(signal.SIGTERM)
        assert (await call).text == "At last."
        assert taken == [signal.SIGTERM]
        await container.aclose()


def test_a_container_that_does_not_close_as_it_should_does_not_hold_the_signal_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(LLMContainer):
        @override
        def close(self, *, drain: float | None = None) -> None:
            super().close(drain=drain)
            raise RuntimeError("no")

    with course(signal.SIGTERM) as taken:
        with ClosingOnSignals(Broken.open(folder(tmp_path), watch=False)):
            signal.raise_signal(signal.SIGTERM)
        assert taken == [signal.SIGTERM]
    assert "the container did not close as it should" in caplog.text
