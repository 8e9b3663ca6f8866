"""The real clock."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from typing import final

from typing_extensions import override

from loomwire.domain.ports.clock import IClock


@final
class SystemClock(IClock):
    """Monotonic time of the operating system; holds no state, so one may serve the whole process."""

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
        return asyncio.timeout(at - time.monotonic())
