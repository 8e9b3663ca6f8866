"""What the last looks at providers found."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from loomwire.application.forks import renew_after_fork
from loomwire.application.health.flights import Flights
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LoomError
from loomwire.domain.faults import FAULTS
from loomwire.domain.policies import HealthPolicy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.values import Secret

if TYPE_CHECKING:
    from loomwire.application.health.facts import Look
    from loomwire.domain.reports.reach import Reach

Probe: TypeAlias = "Callable[[LLMConfig, HealthPolicy], Awaitable[Reach]]"
"""Looks at the provider of a target. A failure is what it found, and is not raised."""

Place: TypeAlias = tuple[str, str, str | None, tuple[Secret, ...]]
"""A provider's name, type, base URL and keys: what a look found holds for no others."""

_ORDER = (False, None, True)
_log = logging.getLogger("loomwire.health")


class Looks:
    """Looks at providers, one look at a time for each, and remembers the last one. Safe for threads and event loops.

    The log says when a provider does not answer any more, and when it answers again.

    Args:
        probe: Looks.
        clock: Tells when.
    """

    def __init__(self, probe: Probe, clock: IClock) -> None:
        """Look at nobody yet."""
        self._probe = probe
        self._clock = clock
        self._flights: Flights[Place, Look] = Flights()
        self._looks: dict[Place, Look] = {}
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Go on in a child with a lock of its own."""
        self._lock = threading.Lock()

    def of(self, target: LLMConfig) -> Look | None:
        """Return the last look at the provider of a target, or None."""
        with self._lock:
            return self._looks.get(_place(target))

    def worst_of(self, targets: Sequence[LLMConfig]) -> Look | None:
        """Return the last look at the provider of some targets: where it has several addresses, the worst."""
        looks = [look for target in targets if (look := self.of(target)) is not None]
        return min(looks, key=lambda look: _ORDER.index(look.reach.answered), default=None)

    async def at(self, targets: Iterable[LLMConfig], policy: HealthPolicy) -> None:
        """Look at the providers of some targets now, at each address once.

        Args:
            targets: Whose providers.
            policy: For how long, and whether it may cost money.
        """
        places = {_place(target): target for target in targets}
        await asyncio.gather(*(self._looked(place, target, policy) for place, target in places.items()))

    def retain(self, targets: Iterable[LLMConfig]) -> None:
        """Forget what was found at other places; one that comes back starts anew."""
        kept = set(map(_place, targets))
        with self._lock:
            self._looks = {place: look for place, look in self._looks.items() if place in kept}

    async def _looked(self, place: Place, target: LLMConfig, policy: HealthPolicy) -> None:
        look = await self._flights.joined(place, lambda: self._probed(target, policy))
        with self._lock:
            before, self._looks[place] = self._looks.get(place), look
        if before is not look:
            _tell(target.name, before, look.reach)

    async def _probed(self, target: LLMConfig, policy: HealthPolicy) -> Look:
        from loomwire.application.health.facts import Look
        from loomwire.domain.reports.reach import Reach

        try:
            reach = await self._probe(target, policy)
        except LoomError as error:
            reach = Reach(answered=False, code=error.code, message=error.message)
        except Exception as error:  # noqa: BLE001  # parts of a host's own may raise anything; a look harms nobody
            code = FAULTS["internal"].code
            reach = Reach(answered=False, code=code, message=f"looking raised {type(error).__name__}")
        return Look(self._clock.now(), reach)


def _place(target: LLMConfig) -> Place:
    return target.name, target.type, target.base_url, target.keys


def _tell(name: str, before: Look | None, reach: Reach) -> None:
    was_away = before is not None and before.reach.answered is False
    if reach.answered is False and not was_away:
        _log.warning("provider %s does not answer %s: %s %s", name, reach.asked or "a look", reach.code, reach.message)
    elif reach.answered and was_away:
        _log.info("provider %s answers again", name)
