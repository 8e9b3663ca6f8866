"""Our clocks keep the contract of IClock."""

from __future__ import annotations

from typing_extensions import override

from loomwire.domain.ports.clock import IClock
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.testing import FakeClock
from loomwire.testing.contracts.clock import ClockContract


class TestSystemClock(ClockContract):
    @override
    def clock(self) -> IClock:
        return SystemClock()


class TestFakeClock(ClockContract):
    @override
    def clock(self) -> IClock:
        return FakeClock(start=100.0)

    @override
    async def let_pass(self, clock: IClock, seconds: float) -> None:
        assert isinstance(clock, FakeClock)
        await clock.advance(seconds)
