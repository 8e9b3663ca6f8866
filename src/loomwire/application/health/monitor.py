"""ProviderHealthMonitor: what traffic says of providers, and cheap looks at those that have none."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final, TypeAlias

from loomwire.application.forks import renew_after_fork
from loomwire.application.health.looks import Looks, Probe
from loomwire.application.pipeline import Parts, target_key
from loomwire.application.registry import ClientSource
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import UnknownNameError
from loomwire.domain.policies import HealthPolicy
from loomwire.domain.values import listed

if TYPE_CHECKING:
    from loomwire.application.health.gathering import Moment
    from loomwire.domain.reports.health import ProviderHealth, ProviderStatistics

Group: TypeAlias = Sequence[LLMConfig]

JITTER: Final = 0.2
"""Share by which the time between two looks varies, so that many processes do not look at once."""

PATIENCE_S: Final = 5.0
"""How long the background sleeps at most before it sees what a reload changed, in seconds."""

_SOON_S: Final = 0.01
_log = logging.getLogger("loomwire.health")


class ProviderHealthMonitor:
    """Tells how well every provider and target of the configuration in force does, and what to do about it.

    What calls met comes first. A look is a cheap request that asks no model, such as for the list of models; it is
    made in the background only when a target had no call for an interval or its circuit is not closed, and counts in
    no statistics, circuit, limit or budget. Safe for threads and event loops.

    Args:
        clients: Says which targets there are.
        parts: The state of all targets.
        probe: Looks at a provider.
        draw: A random number from 0 to 1, for the time between looks.
    """

    def __init__(
        self, clients: ClientSource, parts: Parts, probe: Probe, draw: Callable[[], float] = random.random
    ) -> None:
        """Look at nobody yet."""
        self._clients = clients
        self._parts = parts
        self._draw = draw
        self._looks = Looks(probe, parts.clock)
        self._next: dict[str, float] = {}
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Go on in a child with a lock of its own."""
        self._lock = threading.Lock()

    def health(self, provider: str | None = None) -> tuple[ProviderHealth, ...]:
        """Return the health of all providers, or of one, as of now. Sends nothing and does not wait.

        Raises:
            UnknownNameError: No client in force has a target of that provider.
        """
        # What judges takes 8 ms to import, which the start of a container does not wait for.
        from loomwire.application.health.gathering import Moment

        groups = self._groups(provider)
        moment = Moment(self._parts)
        return tuple(self._judged(group, moment) for _, group in sorted(groups.items()))

    def stats(self) -> ProviderStatistics:
        """Return what was sent to each provider of the configuration in force, and to all of them."""
        from loomwire.application.health.judging import provider_stats
        from loomwire.domain.reports.health import ProviderStatistics

        counts = {
            name: [self._parts.stats.counts(target_key(target)) for target in group]
            for name, group in sorted(self._groups(None).items())
        }
        everything = provider_stats(each for several in counts.values() for each in several)
        return ProviderStatistics(everything, {name: provider_stats(several) for name, several in counts.items()})

    async def look(self, provider: str | None = None) -> tuple[ProviderHealth, ...]:
        """Look at all providers now, or at one, each once however many ask; return their health.

        Raises:
            UnknownNameError: No client in force has a target of that provider.
        """
        groups = self._groups(provider)
        await self._looks.at(chain.from_iterable(groups.values()), self._policy)
        return self.health(provider)

    async def look_where_due(self) -> None:
        """Look at those providers whose time has come and of which traffic does not say how they are."""
        groups, now = self._groups(None), self._parts.clock.now()
        interval_s = self._policy.interval_s
        due = [] if interval_s <= 0 else [name for name in groups if now >= self._due_at(name, now)]
        if due:
            from loomwire.application.health.gathering import Moment

            for name in due:
                self._postpone(name, now)
            moment, since = Moment(self._parts), now - interval_s
            unclear = (groups[name] for name in due if any(moment.is_unclear(each, since) for each in groups[name]))
            await self._looks.at(chain.from_iterable(unclear), self._policy)
        self._looks.retain(chain.from_iterable(groups.values()))
        with self._lock:
            self._next = {name: at for name, at in self._next.items() if name in groups}

    def pause_s(self) -> float:
        """Return the seconds until a look may be due, five at most: a reload may change the interval."""
        if self._policy.interval_s <= 0:
            return PATIENCE_S
        with self._lock:
            first = min(self._next.values(), default=0.0)
        return min(PATIENCE_S, max(_SOON_S, first - self._parts.clock.now()))

    @property
    def _policy(self) -> HealthPolicy:
        return self._clients.generation.snapshot.health

    def _groups(self, provider: str | None) -> Mapping[str, Group]:
        known: dict[str, dict[str, LLMConfig]] = {}
        for entry in self._clients.generation.entries.values():
            for target in entry.config.targets:
                known.setdefault(target.name, {}).setdefault(target.target, target)
        if provider is not None and provider not in known:
            hint = f"Providers of clients: {listed(sorted(known)) or 'none'}."
            raise UnknownNameError(f"no client has a model of the provider {provider!r}", hint=hint)
        return {name: tuple(group.values()) for name, group in known.items() if provider in (None, name)}

    def _judged(self, group: Group, moment: Moment) -> ProviderHealth:
        from loomwire.application.health.judging import provider_health, target_health

        facts = [moment.facts(target, self._looks.of(target)) for target in group]
        return provider_health(facts, [target_health(each) for each in facts], self._looks.worst_of(group))

    def _due_at(self, name: str, now: float) -> float:
        with self._lock:
            at = self._next.get(name)
        # Whoever just came into the configuration has not failed to be asked yet.
        return self._postpone(name, now) if at is None else min(at, now + self._policy.interval_s * (1 + JITTER))

    def _postpone(self, name: str, now: float) -> float:
        at = now + self._policy.interval_s * (1 - JITTER + 2 * JITTER * self._draw())
        with self._lock:
            self._next[name] = at
        return at


async def watch(
    held: weakref.ref[ProviderHealthMonitor], pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Look where it is due until cancelled, or until nobody else holds the monitor. Never fails.

    Args:
        held: The monitor, which this does not keep alive: what it looks after ends with its container.
        pause: Waits; in real seconds, because a clock of the host's may stand still.
    """
    while True:
        monitor = held()
        if monitor is None:
            return
        wait_s = PATIENCE_S
        try:
            await monitor.look_where_due()
            wait_s = monitor.pause_s()
        except Exception as error:  # noqa: BLE001  # a host's own clock, say; the next look comes all the same
            _log.warning("providers could not be looked at: %s", type(error).__name__)
        # The pause is long, and may not be what keeps a container alive that everybody else has dropped.
        del monitor
        await pause(wait_s)
