"""The real clock."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import AbstractAsyncContextManager
from typing import Final, final

from typing_extensions import override

from loomwire.domain.ports.clock import IClock
from loomwire.infrastructure.telemetry.far_timeouts import FAR_S, FarTimeout, FarTimeouts

_FAR: Final = FarTimeouts()


@final
class SystemClock(IClock):
    """Monotonic time of the operating system; holds no state of its own, so one may serve the whole process."""

    __slots__ = ()

    @override
    def now(self) -> float:
        return time.monotonic()

    @override
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @override
    def timeout_at(self, at: float) -> AbstractAsyncContextManager[object]:
        # Relative on purpose: asyncio.timeout_at counts in loop.time(), which a foreign loop may start anywhere.
        left_s = at - time.monotonic()
        # An endless limit has no second in which it ends.
        return FarTimeout(_FAR, left_s) if FAR_S < left_s < math.inf else asyncio.timeout(left_s)
