"""One moment of everything that is known, from which the facts of each target are taken."""

from __future__ import annotations

from collections import Counter, defaultdict

from loomwire.application.health.blame import Lately
from loomwire.application.health.facts import WINDOW_S, Facts, Look
from loomwire.application.health.rests import rests_of
from loomwire.application.pipeline import Parts, target_key
from loomwire.application.state.breaking.permits import CircuitState, CircuitStatus
from loomwire.application.state.pacing.statistics import LaneStatistics
from loomwire.domain.config import LLMConfig


class Moment:
    """What is known of all targets now. Taken once for many targets, because every look locks each of them.

    Args:
        parts: Where it is known.
    """

    def __init__(self, parts: Parts) -> None:
        """Take it all."""
        states = parts.states
        self.now = parts.clock.now()
        self._stats = parts.stats
        self._circuits = {status.name: status for status in states.circuits.statuses()}
        self._rests = states.cooldowns.statuses(self.now)
        self._in_flight: Counter[tuple[str, str]] = Counter()
        for at, load in states.loads.readings(self.now).items():
            self._in_flight[at.provider, at.model] += load.in_flight
        self._lanes: dict[tuple[str, str], list[LaneStatistics]] = defaultdict(list)
        for lane_at, lane in states.slots.statistics().items():
            self._lanes[lane_at.endpoint, lane_at.model].append(lane)

    def facts(self, target: LLMConfig, look: Look | None) -> Facts:
        """Return what is known of one target.

        Args:
            target: The target.
            look: The last look at its provider.
        """
        key, name = target_key(target), target.name
        endings = self._stats.recent(key)
        return Facts(
            config=target,
            now=self.now,
            counts=self._stats.counts(key),
            endings=endings,
            lately=Lately.since(self.now - WINDOW_S, endings),
            circuit=self._in_the_way(target),
            lanes=[*self._lanes.get((name, ""), ()), *self._lanes.get((name, target.model), ())],
            rests=rests_of(target, self._rests),
            in_flight=self._in_flight[name, target.model],
            look=look,
        )

    def is_unclear(self, target: LLMConfig, since: float) -> bool:
        """Tell whether calls do not say how a target is: none ended since an instant, or it is left alone.

        Whoever asked to be left in peace for some seconds has said how it is.
        """
        facts = self.facts(target, None)
        if facts.paused_s > 0:
            return False
        circuit, used_at = facts.circuit, facts.used_at
        is_let_through = circuit is None or (circuit.state is CircuitState.CLOSED and circuit.hold != "isolated")
        return not is_let_through or used_at is None or used_at < since

    def _in_the_way(self, target: LLMConfig) -> CircuitStatus | None:
        own, above = self._circuits.get(target.target), self._circuits.get(target.name)
        is_above = above is not None and above.state is not CircuitState.CLOSED
        return above if is_above and (own is None or own.state is CircuitState.CLOSED) else own
