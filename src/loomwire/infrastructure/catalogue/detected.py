"""What providers said of their models: in memory, with its age, and in a file when one is configured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypeAlias, final

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.ports.models import ModelFacts, Provenance
from loomwire.domain.pricing import Prices
from loomwire.domain.values import FrozenDict

ANY_MODEL: Final = "*"
"""The name of what holds for every model of a server, because it has but one, whatever it is called."""


Asked: TypeAlias = tuple[str, str]
"""A provider type and the base URL it is asked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What a provider said of one model.

    Attributes:
        id: Its name there.
        capabilities: What it can do; sources are added later.
        prices: What it costs.
        inputs: What it reads.
        aliases: Further names of it.
    """

    id: str
    capabilities: ModelCapabilities = ModelCapabilities()
    prices: Prices | None = None
    inputs: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What one provider said, and when.

    Attributes:
        at: Seconds since 1970.
        by: What was asked, such as `GET /v1/models`.
        models: By name, aliases among them.
    """

    at: float
    by: str
    models: Mapping[str, Listed]

    def facts(self, model: str) -> ModelFacts | None:
        """Return what was said of a model, or None."""
        listed = self.models.get(model) or self.models.get(model.removeprefix("models/")) or self.models.get(ANY_MODEL)
        if listed is None:
            return None
        capabilities = listed.capabilities.stated_by("detected")
        about = Provenance("detected", self.by, datetime.fromtimestamp(self.at, UTC).isoformat(timespec="seconds"))
        said = dict.fromkeys(capabilities.sources, about)
        if listed.inputs:
            said["inputs"] = about
        prices = None if listed.prices is None else replace(listed.prices, source="detected")
        if prices is not None:
            said["prices"] = about
        return ModelFacts(capabilities, prices, listed.inputs, said=FrozenDict(said))


def by_name(listed: Iterable[Listed]) -> dict[str, Listed]:
    """Return models by every name they have; a name of its own wins over an alias of an earlier one."""
    return {name: each for each in listed for name in (*each.aliases, each.id)}


@final
class DetectedFacts:
    """Remembers what providers said. Safe for threads; a reload of the configuration leaves it alone.

    Args:
        now: Wall time in seconds since 1970: ages count over the end of a process.

    Attributes:
        changes: Counts up whenever something else than before is known.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """Know nothing."""
        self._now = now
        self._lock = threading.Lock()
        self._found: Mapping[Asked, Found] = {}
        self.changes = 0

    def facts(self, asked: Asked, model: str) -> ModelFacts | None:
        """Return what a provider said of a model, however long ago, or None."""
        found = self._found.get(asked)
        return None if found is None else found.facts(model)

    def age_s(self, asked: Asked) -> float | None:
        """Return how many seconds ago a provider was asked; None for never."""
        found = self._found.get(asked)
        # A clock that was put back must not make an answer last for ever.
        return None if found is None else abs(self._now() - found.at)

    def learn(self, asked: Asked, by: str, listed: Iterable[Listed]) -> bool:
        """Remember what a provider said instead of what it said before.

        Returns:
            Whether it is anything new.
        """
        models = by_name(listed)
        with self._lock:
            before = self._found.get(asked)
            self._found = {**self._found, asked: Found(self._now(), by, models)}
            news = before is None or before.models != models
            self.changes += news
        return news

    def expire(self, max_age_s: float) -> None:
        """Forget what is older."""
        with self._lock:
            old = [asked for asked in self._found if (self.age_s(asked) or 0.0) > max_age_s]
            if old:
                self._found = {asked: found for asked, found in self._found.items() if asked not in old}
                self.changes += 1

    @property
    def found(self) -> Mapping[Asked, Found]:
        """What every provider said that was asked."""
        return self._found

    def add(self, found: Mapping[Asked, Found]) -> None:
        """Add what is not known yet: what was said to this process is newer."""
        with self._lock:
            self._found = {**found, **self._found}
            self.changes += 1
