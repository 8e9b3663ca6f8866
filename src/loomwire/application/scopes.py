"""Running one awaitable up to an instant: the only place where a passed bound becomes a typed error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from loomwire.domain.errors import LLMTimeoutError
from loomwire.domain.ports.clock import IClock

GRACE_S: Final = 0.1
"""Seconds in which the layers may end a call at its deadline themselves, with its steps, before it is cut off."""

T = TypeVar("T")


async def within(clock: IClock, at: float, reason: str, work: Callable[[], Awaitable[T]], grace_s: float = 0.0) -> T:
    """Await `work()` and cancel it at the instant `at`.

    Args:
        clock: Whose time `at` is.
        at: Monotonic seconds.
        reason: The reason of the error when it is not done by then: deadline, attempt or ttft.
        work: Makes the awaitable; not called when the instant has passed already.
        grace_s: Seconds after the instant before the work is cancelled, for work that keeps to the instant by itself:
            what is cancelled cannot tell how far it came.

    Raises:
        LLMTimeoutError: The instant passed; the work has ended its clean-up by then.
    """
    if clock.now() >= at:
        raise _passed(reason)
    foreign: TimeoutError | None = None
    try:
        async with clock.timeout_at(at + grace_s):
            try:
                return await work()
            except TimeoutError as error:
                foreign = error
                raise
    except TimeoutError as error:
        # Told apart by who raised it: an event loop may round, and end the scope a little before the clock says so.
        if error is foreign and clock.now() < at:
            raise
    # Outside the handler: as its context, the cancellation would carry the frames that held the key and the prompt.
    raise _passed(reason)


def _passed(reason: str) -> LLMTimeoutError:
    what = {"deadline": "the call's deadline passed", "ttft": "no first event came in time"}
    return LLMTimeoutError(what.get(reason, "the attempt took too long"), reason=reason)
