"""Everything that is known of one target at one moment, before anybody judges it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from loomwire.application.health.blame import Lately, counts_against
from loomwire.application.health.rests import KeyRest
from loomwire.application.state.breaking.permits import CircuitStatus
from loomwire.application.state.counts import CallCounts
from loomwire.application.state.pacing.statistics import LaneStatistics
from loomwire.application.state.stats import Ended
from loomwire.domain.config import LLMConfig
from loomwire.domain.faults import FAULTS
from loomwire.domain.reports.reach import Reach

WINDOW_S: Final = 300.0
"""Seconds that count as lately."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a provider found, and when.

    Attributes:
        at: Monotonic seconds.
        reach: What was found.
    """

    at: float
    reach: Reach


class Failure(NamedTuple):
    """A failure that counts.

    Attributes:
        at: When it came, in monotonic seconds; None when there is none.
        code: Its code, or "".
    """

    at: float | None
    code: str


_NO_FAILURE: Final = Failure(None, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of one target at one moment.

    Attributes:
        config: The target.
        now: The moment, in monotonic seconds.
        counts: Its totals.
        endings: Its last calls.
        lately: What the last minutes were like.
        circuit: The circuit that is in its way, or else its own; None when nothing was sent yet.
        lanes: What its rate limits hold.
        rests: Its keys that are left alone.
        in_flight: Calls that it is answering.
        look: The last look at its provider, or None.
    """

    config: LLMConfig
    now: float
    counts: CallCounts = CallCounts()
    endings: Sequence[Ended] = ()
    lately: Lately = Lately()
    circuit: CircuitStatus | None = None
    lanes: Sequence[LaneStatistics] = ()
    rests: Sequence[KeyRest] = ()
    in_flight: int = 0
    look: Look | None = None

    @property
    def resting_s(self) -> float:
        """For how many seconds nobody can be asked there, because every key rests."""
        are_all = len(self.rests) >= max(1, len(self.config.keys))
        return min((rest.rest_s for rest in self.rests), default=0.0) if are_all else 0.0

    @property
    def paused_s(self) -> float:
        """For how many seconds the provider wants to be asked less, by a rest or by a rate limit that stands still."""
        throttled = [rest.rest_s for rest in self.rests if rest.reason == "throttled"]
        return max((0.0, *throttled, *(lane.paused_s for lane in self.lanes)))

    @property
    def used_at(self) -> float | None:
        """When the last call ended, or None."""
        return self.endings[-1][0] if self.endings else None

    @property
    def answered_at(self) -> float | None:
        """When the last answer came, or None."""
        return next((at for at, _, code in reversed(self.endings) if not code), None)

    @property
    def failure(self) -> Failure:
        """The last failure that counts."""
        found = (Failure(at, code) for at, _, code in reversed(self.endings) if code and counts_against(code))
        return next(found, _NO_FAILURE)

    @property
    def headroom(self) -> float | None:
        """How much of the rate limit that is used most is left, 0 to 1; None without a limit."""
        return 1.0 - max(lane.fill for lane in self.lanes) if self.lanes else None

    @property
    def seen(self) -> Reach:
        """What the last look found; nothing when nobody looked."""
        return Reach() if self.look is None else self.look.reach

    @property
    def standing(self) -> str:
        """The code of the last failure that counts, if it came lately and nothing was answered since, else ""."""
        failure = self.failure
        if failure.at is None or failure.at < self.now - WINDOW_S or self._is_answered_since(failure.at):
            return ""
        # A key that was good for a later look was replaced; whether it may use the model, a look does not show.
        look = self.look
        is_over = look is not None and look.at > failure.at and look.reach.answered is True
        return "" if is_over and failure.code == FAULTS["credentials"].code else failure.code

    @property
    def reach(self) -> Reach | None:
        """What the last look found, unless a call was answered since then, which says more; None without one."""
        return None if self.look is None or self._is_answered_since(self.look.at) else self.look.reach

    def _is_answered_since(self, at: float) -> bool:
        answered_at = self.answered_at
        return answered_at is not None and answered_at > at
