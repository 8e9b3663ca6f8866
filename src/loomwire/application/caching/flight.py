"""One flight: a task, and those who wait for what it gives."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from loomwire.domain.errors import ClientRemovedError, LLMError, LoomError

T_co = TypeVar("T_co", covariant=True)

_CLOSED: Final = "the container was closed during this call"


class Flight(Generic[T_co]):
    """Work in a task of its own. Lives on the event loop it began on, and only there.

    Attributes:
        key: What it is known by.
        work: What is done.
        until: The instant by which the work ends by itself.
        seats: How many callers wait for it now.
        taken: How many ever did.
        stays: It goes on when nobody waits.
        closed: It was cancelled because everything closes.
        task: Does the work; never raises what the work raises, but for cancellation and what ends the process.
        error: What the work raised, once it has ended.
    """

    __slots__ = (
        *("_ended", "_result", "_waiting", "closed", "error", "key"),
        *("seats", "stays", "taken", "task", "until", "work"),
    )

    def __init__(
        self,
        key: Hashable,
        work: Callable[[], Awaitable[T_co]],
        until: float,
        ended: Callable[[Flight[object]], None],
    ) -> None:
        """Begin.

        Args:
            key: What it is known by.
            work: What to do.
            until: The instant by which it ends by itself.
            ended: Called when nobody may join any more: when it has ended, or before it is cancelled; perhaps twice.
        """
        self.key = key
        self.work = work
        self.until = until
        self.seats = 0
        self.taken = 0
        self.stays = False
        self.closed = False
        self.error: Exception | None = None
        self._ended = ended
        self._result: tuple[T_co] | None = None
        # In the order in which they came, and are woken.
        self._waiting: dict[asyncio.Future[None], None] = {}
        self.task = asyncio.get_running_loop().create_task(self._flown())
        # Not at the end of the task's own code, which never runs when it is cancelled before its first step.
        self.task.add_done_callback(self._landed)

    async def landing(self) -> None:
        """Wait until the task has ended. A cancellation ends this wait, and nothing else."""
        if self.task.done():
            return
        landed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[landed] = None
        try:
            await landed
        finally:
            del self._waiting[landed]

    def left(self, *, late: bool = False) -> bool:
        """Give a seat back; tell whether nobody is left for whom the work goes on, so that `cancelled` is due.

        Args:
            late: The caller's time was over. It goes on for those who wait, and nobody joins it any more: it may hang.
        """
        self.seats -= 1
        is_last = not (self.seats or self.stays or self.task.done())
        if is_last or late:
            # At once, so that whoever comes now begins anew.
            self._ended(self)
        return is_last

    async def cancelled(self) -> None:
        """Cancel the task and wait until it has ended; a cancellation of this wait is passed on, and raised then."""
        self.task.cancel()
        again: asyncio.CancelledError | None = None
        while not self.task.done():
            try:
                await self.landing()
            except asyncio.CancelledError as error:
                again = error
                self.task.cancel()
        if again is not None:
            try:
                raise again
            finally:
                # Its traceback holds this frame.
                del again

    def result(self) -> T_co:
        """Return what the work gave, or raise what it raised: itself to a lone caller, else a copy.

        Raises:
            ClientRemovedError: reason closed, when it was ended so.
            CancelledError: The work was cancelled otherwise.
        """
        if self._result is not None:
            return self._result[0]
        if self.error is not None:
            raise self.failure(self.error)
        if self.closed:
            raise ClientRemovedError(_CLOSED, reason="closed")
        # The first raises it when the task was cancelled; what it returns is what ends the process.
        raise self.task.exception() or asyncio.CancelledError()

    def failure(self, error: Exception) -> Exception:
        """Return an error of the work as this caller may raise it."""
        if self.taken > 1:
            return fresh(error)
        self.error = None
        return error

    async def _flown(self) -> None:
        try:
            self._result = (await self.work(),)
        except Exception as error:  # noqa: BLE001  # it is raised by whoever waits
            self.error = error

    def _landed(self, _: asyncio.Task[None]) -> None:
        self._ended(self)
        if self.error is not None and self.taken != 1:
            # Everybody raises a copy, so nobody misses the frames; they hold the request, and this.
            self.error.__traceback__ = None
        for landed in self._waiting:
            if not landed.done():
                landed.set_result(None)


def fresh(error: Exception) -> Exception:
    """Return an error that means the same and is nobody else's: layers note their steps on it as it passes."""
    try:
        twin = copy.copy(error)
    except Exception:  # noqa: BLE001  # it is of somebody else's making, and so is how it copies
        return LLMError(f"the call was shared, and raised {type(error).__name__}", reason="internal")
    if isinstance(error, LoomError) and isinstance(twin, LoomError):
        # Copies lose it, because they may be sent to another process; this one stays here.
        twin.original_error = error.original_error
    return twin
