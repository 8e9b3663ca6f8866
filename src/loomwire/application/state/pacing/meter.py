"""Meter: one limit per minute. It is never exceeded in any minute, and never used up all at once."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

PERIOD_S: Final = 60.0
"""What a limit counts: a minute."""

CELL_S: Final = PERIOD_S / 128
"""Charges of one cell are forgotten together, a minute after the cell's end: no window can slip between two."""

_PIECES: Final = 8
# Less than a millionth of a token is an error of rounding, not a lack.
_SLACK: Final = 1e-6


class Cell:
    """What was charged in a stretch of time, and the instant from which it no longer counts."""

    __slots__ = ("amount", "is_forgotten", "until")

    def __init__(self, until: float, amount: int = 0) -> None:
        """Count `amount` until the instant `until`."""
        self.until = until
        self.amount = amount
        self.is_forgotten = False


class Meter:
    """Two rules in one: a bucket (GCRA) spaces what is sent, a ledger of the last minute caps it.

    The bucket holds `burst`, refills with the limit's own rate and may go below zero, so that one thing larger than
    the burst can pass when it is full. The ledger has the last word: whatever the sizes, charges of any 60 seconds
    add up to no more than the limit. Something larger than the limit itself counts as the whole limit, so that it
    waits for an empty minute and not for ever.

    Not thread-safe: its lane's lock guards it. Times are monotonic seconds and never run backwards.

    Args:
        limit: Per minute, at least 1.
        burst_s: How many seconds' worth of the limit may go at once; one unit always may.
        now: The time.
    """

    __slots__ = (
        *("_at", "_cell", "_cell_ends", "_cells", "_claimed", "_claims", "_expires", "_level", "_used"),
        *("burst", "limit", "rate"),
    )

    def __init__(self, limit: int, burst_s: float, now: float) -> None:
        """Start with a full bucket and an empty ledger."""
        self.limit = limit
        self.rate = limit / PERIOD_S
        self.burst = _burst(limit, burst_s)
        self._level = self.burst
        self._at = now
        self._cell = Cell(-math.inf)
        self._cell_ends = self._expires = -math.inf
        self._cells: deque[Cell] = deque()
        self._claims: deque[Cell] = deque()
        self._used = 0
        self._claimed = 0

    def used(self, now: float) -> int:
        """Return what counts in the last minute, with what the provider says that others used."""
        self._refresh(now)
        return self._used

    def fits(self, cost: int, now: float) -> bool:
        """Tell whether `cost` may be charged now."""
        # `_refresh` written out, and no min(): every call comes here twice.
        level = self._level + (now - self._at) * self.rate
        burst, limit = self.burst, self.limit
        self._level = level = level if level < burst else burst  # noqa: FURB136
        self._at = now
        if now >= self._expires:
            self._expire(now)
        wanted = cost if cost < limit else limit  # noqa: FURB136
        return (level + _SLACK >= wanted or level + _SLACK >= burst) and self._used + wanted <= limit

    def charge(self, cost: int, now: float) -> Cell:
        """Charge `cost`, whether it fits or not, and return where it was booked, for `refund`."""
        if now >= self._cell_ends:
            self._cell_ends = (now // CELL_S + 1) * CELL_S
            self._cell = Cell(self._cell_ends + PERIOD_S)
            self._cells.append(self._cell)
        cell = self._cell
        cell.amount += cost
        self._used += cost
        self._level -= cost
        return cell

    def refund(self, amount: int, cell: Cell) -> None:
        """Take back a part of a charge that turned out to be too high; the bucket never gets fuller than full."""
        # The next refresh caps the level.
        self._level += amount
        if not cell.is_forgotten:
            cell.amount -= amount
            self._used -= amount

    def ready_at(self, cost: int, ahead: int, now: float) -> float:
        """Return when `cost` fits if `ahead` is charged before it; exact when nothing is ahead.

        What will be refunded is not foreseen, and what is charged meanwhile without standing in line neither.
        """
        self._refresh(now)
        wanted = min(cost, self.limit)
        lack = min(wanted, self.burst) + ahead - self._level
        at = now + max(lack, 0.0) / self.rate
        over = self._used + ahead + wanted - self.limit
        if over <= 0:
            return at
        freed = now
        for cell in sorted((*self._cells, *self._claims), key=_until):
            over -= cell.amount
            freed = cell.until
            if over <= 0:
                return max(at, freed)
        return max(at, freed + over / self.rate)

    def hear(self, remaining: int, reset_s: float | None, now: float) -> None:
        """Believe a provider that says less is left than we think: others use the limit too. Never raises anything.

        What others used is given back over `reset_s`, piece by piece, as providers refill; the newest word replaces
        the one before.

        Args:
            remaining: What is left.
            reset_s: Seconds until all of it is there again, at most a minute; None takes the minute.
            now: The time.
        """
        self._refresh(now)
        self._level = min(self._level, remaining)
        self._used -= self._claimed
        self._claims.clear()
        self._expires = now
        self._claimed = gap = max(0, self.limit - self._used - remaining)
        self._used += gap
        span = PERIOD_S if reset_s is None else min(max(reset_s, 0.0), PERIOD_S)
        for piece in range(1, _PIECES + 1):
            amount = gap * piece // _PIECES - gap * (piece - 1) // _PIECES
            if amount:
                self._claims.append(Cell(now + span * piece / _PIECES, amount))

    def adapt(self, limit: int, burst_s: float, now: float) -> None:
        """Change the numbers and keep what was used."""
        self._refresh(now)
        burst = _burst(limit, burst_s)
        # What was taken from the bucket stays taken; a larger bucket is not full for that.
        self._level = min(burst, self._level)
        self.limit, self.rate, self.burst = limit, limit / PERIOD_S, burst

    def close(self) -> None:
        """Forget every charge, because another meter takes over: refunds of them change nothing any more."""
        for cell in self._cells:
            cell.is_forgotten = True

    def _refresh(self, now: float) -> None:
        self._level = min(self.burst, self._level + (now - self._at) * self.rate)
        self._at = now
        if now >= self._expires:
            self._expire(now)

    def _expire(self, now: float) -> None:
        cells, claims = self._cells, self._claims
        while cells and cells[0].until <= now:
            cell = cells.popleft()
            cell.is_forgotten = True
            self._used -= cell.amount
        while claims and claims[0].until <= now:
            amount = claims.popleft().amount
            self._used -= amount
            self._claimed -= amount
        # A cell that is not there yet cannot be forgotten within a minute.
        self._expires = min([now + PERIOD_S, *(queue[0].until for queue in (cells, claims) if queue)])


def _burst(limit: int, burst_s: float) -> float:
    return max(1.0, min(limit, limit * burst_s / PERIOD_S))


def _until(cell: Cell) -> float:
    return cell.until
