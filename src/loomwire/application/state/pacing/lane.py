"""Lane: the limits of one target, taken together or not at all, and the line before them."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from loomwire.application.state.pacing.line import Line
from loomwire.application.state.pacing.meter import Meter
from loomwire.application.state.pacing.statistics import LaneStatistics
from loomwire.application.state.pacing.waiter import Grant, Waiter
from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.policies import RatePolicy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.responses import RateLimits

# Timers closer together than this only make a loop spin.
_TICK_S: Final = 1e-4
# Everybody in line looks up once in a while, in case the loop of the one in front is dead.
_PATIENCE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 86_400.0
_HINT: Final = "Send less at once, raise the limit (limits.rpm, tpm, concurrency), or add another model or key."


class Lane:
    """Requests and tokens per minute, and calls at once, of one target. One acquire takes all three, or none.

    Whoever cannot go at once stands in line: urgent ones first, within reason (see `Line`), and nobody is passed by a
    smaller one behind, so a large request gets its turn. One lane serves any number of event loops and threads; its
    lock is held for microseconds. Giving back never blocks and never fails, not even in a finaliser that interrupts
    this very lane.

    Args:
        policy: The limits.
        clock: The time.

    Attributes:
        weighed: Tokens are limited, so somebody has to estimate them.
    """

    __slots__ = (
        *("__weakref__", "_clock", "_epoch", "_granted", "_in_use", "_late", "_line", "_lock", "_longest_s"),
        *("_paced", "_paused_until", "_policy", "_refused", "_requests", "_tokens", "weighed"),
    )

    def __init__(self, policy: RatePolicy, clock: IClock) -> None:
        """Start with nothing used."""
        self._clock = clock
        self._lock = threading.Lock()
        self._line = Line()
        self._late: deque[Grant | Waiter] = deque()
        self._epoch = self._in_use = self._granted = self._refused = 0
        self._longest_s = 0.0
        self._paused_until = -math.inf
        now = clock.now()
        self._policy = policy
        self._paced, self.weighed = policy.rpm is not None, policy.tpm is not None
        self._requests = Meter(policy.rpm or 1, policy.burst_s, now)
        self._tokens = Meter(policy.tpm or 1, policy.burst_s, now)

    @property
    def policy(self) -> RatePolicy:
        """The limits in force."""
        return self._policy

    def now(self) -> float:
        """Return the time of the lane's clock."""
        return self._clock.now()

    def after_fork(self) -> None:
        """Go on in a child: what was used stays used; who waited or was on the way did so in the parent."""
        self._lock = threading.Lock()
        self._line = Line()
        self._late.clear()
        self._epoch += 1
        self._in_use = 0

    def take(self, tokens: int) -> Grant | None:
        """Take a slot if one is free and nobody stands in line. Never waits.

        Args:
            tokens: The estimated input and the longest answer; without meaning where tokens are not limited.

        Returns:
            A grant to be given back, or None: then `wait`.
        """
        grant = None
        with self._lock:
            if not self._line.count:
                now = self._clock.now()
                if now >= self._paused_until and self._fits(tokens, now):
                    grant = self._charge(tokens, now)
        if self._late:
            self._catch_up()
        return grant

    async def wait(self, tokens: int, *, until: float = math.inf, urgency: int = 1) -> Grant:
        """Stand in line for a slot. Cancellation at any moment leaves no trace, also in the moment of the grant.

        Args:
            tokens: As for `take`.
            until: The instant (of the lane's clock) at which to give up.
            urgency: 0 for the most urgent, 1, or 2.

        Returns:
            A grant to be given back.

        Raises:
            LLMTimeoutError: (`queue`) At once if the line is full or the wait would outlast `until`; later if it did.
        """
        waiter = Waiter(tokens, until, urgency, self._clock.now())
        self._enlist(waiter)
        try:
            while waiter.grant is None and not waiter.gone:
                await self._nap(waiter)
                self._look_up(waiter)
        except BaseException:
            self._late.append(waiter)
            self._catch_up()
            raise
        if waiter.grant is None:
            raise _refusal("no slot became free in time")
        return waiter.grant

    def give_back(self, grant: Grant) -> None:
        """Return a slot and settle its charge by `grant.sent` and `grant.spent`. Idempotent, never blocks."""
        if not self._late and self._lock.acquire(blocking=False):
            try:
                self._settle(grant)
                woken = self._serve(self._clock.now()) if self._line.count else ()
            finally:
                self._lock.release()
            if woken or self._late:
                self._wake(woken)
            return
        self._late.append(grant)
        self._catch_up()

    def pause(self, seconds: float) -> None:
        """Let nobody through for so many seconds (at most a day): the provider said so. It never shortens a pause.

        Who waits and would have to give up before it is over is sent away at once.
        """
        woken: list[Waiter] = []
        with self._lock:
            now = self._clock.now()
            self._paused_until = max(self._paused_until, now + min(seconds, _LONGEST_PAUSE_S))
            for waiter in [waiter for waiter in self._line if waiter.until < self._paused_until]:
                self._dismiss(waiter)
                woken.append(waiter)
            woken += self._serve(now)
        self._wake(woken)

    def hear(self, limits: RateLimits) -> None:
        """Take in what the provider says is left. It lowers what the lane thinks is left, and never raises it.

        Numbers that make no sense are passed over: fewer than nothing left, or more than the provider's own limit.
        """
        woken: list[Waiter] = []
        with self._lock:
            now = self._clock.now()
            left = limits.requests_remaining
            if self._paced and left is not None and _is_sane(left, limits.requests_limit):
                self._requests.hear(left, limits.requests_reset_s, now)
            left = limits.tokens_remaining
            if self.weighed and left is not None and _is_sane(left, limits.tokens_limit):
                self._tokens.hear(left, limits.tokens_reset_s, now)
            woken += self._serve(now)
        self._wake(woken)

    def adapt(self, policy: RatePolicy) -> None:
        """Put other limits in force. What was used stays used, and who waits goes on waiting."""
        with self._lock:
            now = self._clock.now()
            self._requests = _adapted(self._requests, self._policy.rpm, policy.rpm, policy.burst_s, now)
            self._tokens = _adapted(self._tokens, self._policy.tpm, policy.tpm, policy.burst_s, now)
            self._policy = policy
            self._paced, self.weighed = policy.rpm is not None, policy.tpm is not None
            woken = self._serve(now)
        self._wake(woken)

    def statistics(self) -> LaneStatistics:
        """Return what the lane holds now."""
        self._catch_up()
        with self._lock:
            now = self._clock.now()
            requests = self._requests.used(now) if self._paced else 0
            tokens = self._tokens.used(now) if self.weighed else 0
            policy = self._policy
            used = ((requests, policy.rpm), (tokens, policy.tpm), (self._in_use, policy.concurrency))
            standing = (now - waiter.asked for waiter in self._line)
            statistics = LaneStatistics(
                in_use=self._in_use,
                waiting=self._line.count,
                longest_wait_s=max((self._longest_s, *standing)),
                granted=self._granted,
                refused=self._refused,
                requests=requests,
                tokens=tokens,
                paused_s=max(0.0, self._paused_until - now),
                fill=min(1.0, max((much / limit for much, limit in used if limit is not None), default=0.0)),
            )
        self._catch_up()
        return statistics

    def _fits(self, tokens: int, now: float) -> bool:
        concurrency = self._policy.concurrency
        if concurrency is not None and self._in_use >= concurrency:
            return False
        if self._paced and not self._requests.fits(1, now):
            return False
        return not self.weighed or self._tokens.fits(tokens, now)

    def _charge(self, tokens: int, now: float) -> Grant:
        self._in_use += 1
        self._granted += 1
        request_cell = self._requests.charge(1, now) if self._paced else None
        if not self.weighed:
            return Grant(self._epoch, 0, request_cell, None)
        tokens = min(tokens, self._tokens.limit)
        return Grant(self._epoch, tokens, request_cell, self._tokens.charge(tokens, now))

    def _ready_at(self, tokens: int, ahead: tuple[int, int], now: float) -> float:
        at = max(now, self._paused_until)
        if self._paced:
            at = max(at, self._requests.ready_at(1, ahead[0], now))
        if self.weighed:
            at = max(at, self._tokens.ready_at(tokens, ahead[1], now))
        return at

    def _enlist(self, waiter: Waiter) -> None:
        with self._lock:
            now = waiter.asked = self._clock.now()
            ready = self._ready_at(waiter.tokens, self._line.ahead_of(waiter), now)
            is_full = self._line.count >= self._policy.queue
            is_refused = is_full or ready > waiter.until
            woken: list[Waiter] = []
            if is_refused:
                self._refused += 1
            else:
                waiter.due = ready + _PATIENCE_S
                self._line.add(waiter)
                woken = self._serve(now)
        self._wake(woken)
        if is_refused:
            why = "too many calls wait for a slot" if is_full else "no slot would become free in time"
            raise _refusal(why, ready - now)

    async def _nap(self, waiter: Waiter) -> None:
        try:
            async with self._clock.timeout_at(min(waiter.due, waiter.until)):
                await waiter.rung()
        except TimeoutError:
            return

    def _look_up(self, waiter: Waiter) -> None:
        with self._lock:
            now = self._clock.now()
            woken = self._serve(now)
            if waiter.grant is None and not waiter.gone and now >= waiter.until:
                self._dismiss(waiter)
                woken += self._serve(now)
            elif waiter.due <= now:
                waiter.due = now + _PATIENCE_S + (now - waiter.asked)
        self._wake([other for other in woken if other is not waiter])

    def _dismiss(self, waiter: Waiter) -> None:
        self._line.remove(waiter)
        waiter.gone = True
        self._refused += 1

    def _serve(self, now: float) -> list[Waiter]:
        woken: list[Waiter] = []
        while (head := self._line.first()) is not None:
            if head.loop.is_closed():
                self._line.remove(head)
                continue
            if now < self._paused_until or not self._fits(head.tokens, now):
                if self._is_rearmed(head, now):
                    woken.append(head)
                break
            self._line.remove(head)
            head.grant = self._charge(head.tokens, now)
            head.grant.waited_s = now - head.asked
            self._longest_s = max(self._longest_s, head.grant.waited_s)
            woken.append(head)
        return woken

    def _is_rearmed(self, head: Waiter, now: float) -> bool:
        # Only a slot that somebody gives back can help a full lane, and that looks at the line anyway.
        concurrency = self._policy.concurrency
        if concurrency is not None and self._in_use >= concurrency:
            return False
        ready = max(self._ready_at(head.tokens, (0, 0), now), now + _TICK_S)
        if now < head.due <= ready + _TICK_S:
            return False
        head.due = ready
        return True

    def _wake(self, woken: Sequence[Waiter]) -> None:
        # Without the lock: waking asks an event loop.
        self._late.extend(waiter for waiter in woken if not waiter.ring())
        self._catch_up()

    def _catch_up(self) -> None:
        # Whoever holds the lock looks at `_late` after releasing it, so what is left there is never forgotten; a
        # finaliser may run inside the lock, in the very thread that holds it, and must not wait for it.
        while self._late and self._lock.acquire(blocking=False):
            try:
                while self._late:
                    self._undo(self._late.popleft())
                woken = self._serve(self._clock.now()) if self._line.count else ()
            finally:
                self._lock.release()
            self._late.extend(waiter for waiter in woken if not waiter.ring())

    def _undo(self, item: Grant | Waiter) -> None:
        if isinstance(item, Grant):
            self._settle(item)
            return
        self._line.remove(item)
        item.gone = True
        if item.grant is not None:
            item.grant.sent = False
            self._settle(item.grant)

    def _settle(self, grant: Grant) -> None:
        if grant.returned:
            return
        grant.returned = True
        if grant.epoch == self._epoch:
            self._in_use -= 1
        if grant.request_cell is not None and not grant.sent:
            self._requests.refund(1, grant.request_cell)
        if grant.token_cell is None:
            return
        used = 0 if not grant.sent else grant.tokens if grant.spent is None else grant.spent
        if used <= grant.tokens:
            self._tokens.refund(grant.tokens - used, grant.token_cell)
        else:
            self._tokens.charge(used - grant.tokens, self._clock.now())


def _adapted(meter: Meter, old: int | None, new: int | None, burst_s: float, now: float) -> Meter:
    if new is None:
        # It goes on keeping its books, because grants that are out refer to them.
        return meter
    if old is None:
        meter.close()
        return Meter(new, burst_s, now)
    meter.adapt(new, burst_s, now)
    return meter


def _is_sane(remaining: int, limit: int | None) -> bool:
    return remaining >= 0 and (limit is None or remaining <= limit)


def _refusal(what: str, wait_s: float | None = None) -> LLMError:
    return llm_error("queue", what, retry_after=wait_s, phase="connect", hint=_HINT)
