"""One that waits for a slot, and the leave it gets."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Final

from loomwire.application.state.pacing.meter import Cell

AGEING_S: Final = 5.0
"""How long one class of urgency may be served before the next; who waited that much longer goes first all the same."""

CLASSES: Final = 3


class Grant:
    """Leave to send once. Given back exactly once, by `Lane.give_back`.

    Attributes:
        waited_s: Seconds spent in line.
        sent: False when nothing was sent, so that all of it is refunded.
        spent: The tokens that were used in the end; None leaves the charge as it is.
    """

    __slots__ = ("epoch", "request_cell", "returned", "sent", "spent", "token_cell", "tokens", "waited_s")

    def __init__(self, epoch: int, tokens: int, request_cell: Cell | None, token_cell: Cell | None) -> None:
        """Remember what was charged, and where."""
        self.epoch = epoch
        self.tokens = tokens
        self.request_cell = request_cell
        self.token_cell = token_cell
        self.waited_s = 0.0
        self.sent = True
        self.spent: int | None = None
        self.returned = False


class Waiter:
    """One that stands in line; it belongs to the event loop in which it was made.

    Args:
        tokens: How much it wants.
        until: The instant at which it gives up; infinity for never.
        urgency: Its class, 0 for the most urgent.
        asked: Since when it waits.
    """

    __slots__ = ("_future", "asked", "due", "gone", "grant", "loop", "tokens", "until", "urgency")

    def __init__(self, tokens: int, until: float, urgency: int, asked: float) -> None:
        """Stand nowhere yet."""
        self.loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] = self.loop.create_future()
        self.tokens = tokens
        self.until = until
        self.urgency = min(max(urgency, 0), CLASSES - 1)
        self.asked = asked
        self.due = math.inf
        self.grant: Grant | None = None
        self.gone = False

    @property
    def rank(self) -> float:
        """Who has the lowest is served first. It never changes, so nobody can be overtaken for ever."""
        return self.asked + self.urgency * AGEING_S

    def rung(self) -> asyncio.Future[None]:
        """Return what the next `ring` fulfils. Only in the waiter's own loop."""
        if self._future.done():
            self._future = self.loop.create_future()
        return self._future

    def ring(self) -> bool:
        """Wake it, from any thread; False when its loop is closed and nobody will wake."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._ring)
            return True
        return False

    def _ring(self) -> None:
        if not self._future.done():
            self._future.set_result(None)
