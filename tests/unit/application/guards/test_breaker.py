from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType

import pytest
from typing_extensions import override

from loomwire.application.clients.guarded import GuardedClient
from loomwire.application.guard import Operation
from loomwire.application.guards.breaker import Breaker
from loomwire.application.state.breaking.permits import CircuitState, CircuitStatus
from loomwire.application.state.circuits import Circuits
from loomwire.domain.errors import (
    CircuitOpenError,
    LLMAuthenticationError,
    LLMError,
    LLMNetworkError,
    LLMRateLimitError,
    LLMTemporaryError,
    LLMTimeoutError,
    LLMValidationError,
    StreamInterruptedError,
)
from loomwire.domain.events import StreamEvent, TextDelta
from loomwire.domain.policies import BreakerPolicy
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.testing import FakeClock, ScriptedClient

HI = LLMRequest.of("hi")
POLICY = BreakerPolicy(consecutive=2, probes=2, slow_after_s=1.0)
DOWN = LLMNetworkError("refused", reason="refused")


class Broken(LLMStream, AbstractAsyncContextManager[LLMStream]):
    """A stream that delivers one text and then breaks, as an adapter reports it."""

    def __init__(self) -> None:
        self._error: LLMError | None = None

    @override
    async def __aenter__(self) -> LLMStream:
        return self

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        pass

    @override
    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        yield TextDelta("one")
        self._error = StreamInterruptedError("cut", phase="stream_after_token", partial_text="one")
        raise self._error

    @property
    @override
    def response(self) -> LLMResponse[str]:
        raise StreamInterruptedError("not finished")

    @property
    @override
    def error(self) -> LLMError | None:
        return self._error


class Breaking(ILLMClient):
    """Streams that break."""

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        raise DOWN

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return Broken()


class Bench:
    """A client behind a breaker."""

    def __init__(self, leaf: ILLMClient) -> None:
        self.clock = FakeClock()
        self.circuits = Circuits(now=self.clock.now, draw=lambda: 0.5)
        # A second model, so that one that fails leaves the endpoint alone.
        self.circuits.target("vendor", "other", POLICY)
        target = self.circuits.target("vendor", "m", POLICY)
        self.guard = Breaker(target, provider="vendor", model="m")
        self.client = GuardedClient(leaf, self.guard)

    @property
    def status(self) -> CircuitStatus:
        return self.circuits.find("vendor/m").status()

    async def fail(self, times: int = 2) -> None:
        for _ in range(times):
            with pytest.raises(LLMError):
                await self.client.generate(HI)


async def read(client: ILLMClient) -> LLMResponse[str]:
    async with client.stream(HI) as stream:
        _ = [event async for event in stream]
    return stream.response


async def test_an_open_circuit_sends_nothing_and_says_exactly_when_to_come_again() -> None:
    leaf = ScriptedClient(DOWN, DOWN)
    bench = Bench(leaf)
    await bench.fail()
    with pytest.raises(CircuitOpenError) as caught:
        await bench.client.generate(HI)
    assert len(leaf.requests) == 2
    error = caught.value
    assert (error.reason, error.retry_after, error.provider, error.model) == ("circuit_open", 5.0, "vendor", "m")
    assert error.steps == (Step("breaker", "vendor/m", "refused", "circuit_open"),)
    assert not error.disposition.retry_same
    assert error.disposition.falls_back


async def test_an_open_circuit_refuses_a_stream_on_entering() -> None:
    bench = Bench(ScriptedClient(DOWN, DOWN))
    await bench.fail()
    stream = bench.client.stream(HI)
    with pytest.raises(CircuitOpenError):
        await stream.__aenter__()


@pytest.mark.parametrize(
    "error",
    [
        LLMValidationError("bad"),
        LLMAuthenticationError("no"),
        LLMRateLimitError("slow down"),
        LLMTimeoutError("queue", reason="queue"),
        LLMTimeoutError("deadline", reason="deadline"),
    ],
)
async def test_errors_that_do_not_trip_count_for_nobody(error: LLMError) -> None:
    bench = Bench(ScriptedClient(then=error))
    await bench.fail(20)
    assert (bench.status.calls, bench.status.consecutive, bench.status.state) == (0, 0, CircuitState.CLOSED)


async def test_an_excluded_error_between_failures_does_not_end_their_row() -> None:
    bench = Bench(ScriptedClient(DOWN, LLMValidationError("bad"), LLMTemporaryError("500")))
    await bench.fail(3)
    assert (bench.status.state, bench.status.error) == (CircuitState.OPEN, "TMP001")


async def test_probes_close_it_again() -> None:
    bench = Bench(ScriptedClient(DOWN, DOWN, then="well"))
    await bench.fail()
    bench.clock.move(5)
    for _ in range(2):
        assert (await bench.client.generate(HI)).steps == ()
    assert bench.status.reason == "recovered"


async def test_a_long_outage_costs_few_sends_and_recovery_comes_with_the_next_probes() -> None:
    leaf = ScriptedClient(then=DOWN)
    clock = FakeClock()
    circuits = Circuits(now=clock.now)
    breaker = Breaker(circuits.target("v", "m", BreakerPolicy()), provider="v", model="m")
    client = GuardedClient(leaf, breaker)
    for _ in range(2000):
        clock.move(0.05)
        with pytest.raises(LLMError):
            await client.generate(HI)
    assert len(leaf.requests) <= 100, "0.05 a call"
    well = GuardedClient(ScriptedClient(then="well"), breaker)
    clock.move(circuits.find("v/m").wait_s() or 0)
    for _ in range(3):
        assert (await well.generate(HI)).text == "well"
    assert {status.state for status in circuits.statuses()} == {CircuitState.CLOSED}


async def test_a_cancelled_probe_gives_its_permit_back_and_changes_nothing() -> None:
    waiting = asyncio.Event()

    async def hang(_: LLMRequest) -> str:
        await waiting.wait()
        return "never"

    bench = Bench(ScriptedClient(DOWN, DOWN, then=hang))
    await bench.fail()
    bench.clock.move(5)
    for probe in [asyncio.create_task(bench.client.generate(HI)) for _ in range(2)]:
        await asyncio.sleep(0)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
    assert (bench.status.state, bench.status.probes, bench.status.trips) == (CircuitState.HALF_OPEN, 0, 1)


async def test_a_cancelled_enter_of_a_stream_gives_the_permit_back() -> None:
    async def hang(_: LLMRequest) -> str:
        await asyncio.Event().wait()
        return "never"

    bench = Bench(ScriptedClient(DOWN, DOWN, then=hang))
    await bench.fail()
    bench.clock.move(5)
    entering = asyncio.create_task(read(bench.client))
    await asyncio.sleep(0)
    assert bench.status.probes == 1
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert bench.status.probes == 0


async def test_a_stream_that_was_read_to_its_end_is_one_answer_however_often_its_response_is_read() -> None:
    bench = Bench(ScriptedClient("one two"))
    async with bench.client.stream(HI) as stream:
        _ = [event async for event in stream]
        assert stream.response.text == stream.response.text == "one two"
    assert bench.status.calls == 1


async def test_a_stream_whose_reader_leaves_counts_for_nobody() -> None:
    bench = Bench(ScriptedClient(DOWN, "one two three"))
    await bench.fail(1)
    async with bench.client.stream(HI) as stream:
        async for _ in stream:
            break
    assert (bench.status.calls, bench.status.consecutive) == (1, 1)


async def test_a_readers_own_error_counts_for_nobody() -> None:
    bench = Bench(ScriptedClient("one two three"))
    with pytest.raises(LLMNetworkError):
        async with bench.client.stream(HI):
            raise LLMNetworkError("of another client", reason="reset")
    assert bench.status.calls == 0


async def test_a_stream_that_breaks_after_its_first_token_is_a_failure() -> None:
    bench = Bench(Breaking())
    with pytest.raises(StreamInterruptedError):
        await read(bench.client)
    assert (bench.status.failures, bench.status.error) == (1, "STR001")


async def test_a_stream_that_fails_on_entering_is_a_failure() -> None:
    bench = Bench(ScriptedClient(DOWN))
    with pytest.raises(LLMNetworkError):
        await read(bench.client)
    assert bench.status.failures == 1


async def test_a_stream_is_slow_by_its_first_event() -> None:
    bench = Bench(ScriptedClient())
    operation = Operation(streamed=True, tenant=None, session=None, tags=frozenset())
    answer = LLMResponse("a", "a", "vendor", "m")
    for first_after, length in ((0.5, 30.0), (1.5, 0.0)):
        async with bench.guard.around(operation) as outcome:
            bench.clock.move(first_after)
            outcome.began()
            bench.clock.move(length)
            outcome.answered(answer.usage, answer.cost, "m")
            outcome.began()
            outcome.failed(DOWN)
    assert (bench.status.slow, bench.status.calls, bench.status.failures) == (1, 2, 0), "the first verdict counts"


def test_a_breaker_says_what_it_is() -> None:
    assert repr(Bench(ScriptedClient()).client) == "Breaker > ScriptedClient(scripted/scripted)"
