"""The port for time, so that tests own it."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class IClock(Protocol):
    """Tells time and waits. Monotonic seconds everywhere; wall time only for display."""

    __slots__ = ()

    @abstractmethod
    def now(self) -> float:
        """Monotonic seconds, comparable with `Bound.at`. Safe from any thread."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Wait; cancellation ends it at once."""

    @abstractmethod
    def timeout_at(self, at: float) -> AbstractAsyncContextManager[object]:
        """Return a scope that is cancelled at the instant `at` and then raises the built-in TimeoutError.

        Cancellation from outside passes through as CancelledError, as with `asyncio.timeout_at`.
        """
