"""Who rests: keys that were refused, models that a provider throttles or does not know. Outlives every reload."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from loomwire.application.forks import renew_after_fork
from loomwire.domain.errors import LoomError
from loomwire.domain.faults import Scope

LONGEST_S: Final = 86_400.0
"""Nothing rests for longer, whatever a provider asks for."""

# Of a scope among the rests of a candidate.
_PLACES: Final[Mapping[Scope, int]] = MappingProxyType({"key": 0, "key+model": 1, "endpoint+model": 2})


class RestKey(NamedTuple):
    """What rests.

    Attributes:
        provider: The provider's name.
        key: The id of one of its keys, see `key_id`; "" for all of them.
        model: One of its models; "" for all of them.
    """

    provider: str
    key: str
    model: str


@dataclass(frozen=True, slots=True)
class RestStatus:
    """One rest as numbers.

    Attributes:
        what: What rests.
        rest_s: For how many seconds more.
        reason: The reason of the error that it rests for.
    """

    what: RestKey
    rest_s: float
    reason: str


class _Rest:
    __slots__ = ("reason", "until")

    def __init__(self) -> None:
        self.until = -math.inf
        self.reason = ""


class Resting:
    """The rests that concern one candidate. Reading takes no lock: a rest is one number.

    Args:
        key: The rest of its key.
        key_model: The rest of its model with this key.
        endpoint_model: The rest of its model with every key.
        lock: Held while a rest is noted.
    """

    __slots__ = ("_lock", "_rests")

    def __init__(self, key: _Rest, key_model: _Rest, endpoint_model: _Rest, lock: threading.Lock) -> None:
        """Watch the three."""
        self._rests = (key, key_model, endpoint_model)
        self._lock = lock

    def left_s(self, now: float) -> float:
        """Return for how many seconds it rests, 0 when it does not."""
        one, two, three = self._rests
        return max(one.until, two.until, three.until, now) - now

    def reason(self, now: float) -> str:
        """Return the reason of the error for which it rests the longest; "" when it does not."""
        longest = max(self._rests, key=lambda rest: rest.until)
        return longest.reason if longest.until > now else ""

    def failed(self, error: LoomError, now: float) -> None:
        """Let rest what the error says should, for as long as the provider asked, else as the fault table says."""
        may = error.disposition
        if may.cooldown_s is None or may.cooldown_scope is None:
            return
        asked = error.retry_after
        # A comparison with NaN is false, so what is no number asks for nothing.
        rest_s = min(asked, LONGEST_S) if asked is not None and asked >= 0 else may.cooldown_s
        rest = self._rests[_PLACES[may.cooldown_scope]]
        with self._lock:
            if now + rest_s > rest.until:
                rest.until, rest.reason = now + rest_s, error.reason


class Cooldowns:
    """The rests of all targets, by name: the same name is the same rest for ever. Safe for threads and event loops.

    Keys are told apart by what they are and not by their number, so a key that was refused is known after a reload, and
    a new one starts with a clean record.
    """

    def __init__(self) -> None:
        """Let nobody rest."""
        self._rests: dict[RestKey, _Rest] = {}
        self._lock = threading.Lock()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Go on in a child; another thread of the parent may have held the lock, which all `Resting`s share."""
        if self._lock.locked():
            self._lock.release()

    def candidate(self, provider: str, key: str, model: str) -> Resting:
        """Return what tells whether a candidate rests. Called at build time.

        Args:
            provider: The provider's name.
            key: The id of the key, see `key_id`.
            model: The model's name there.
        """
        one, two, three = _names(RestKey(provider, key, model))
        with self._lock:
            return Resting(self._of(one), self._of(two), self._of(three), self._lock)

    def retain(self, targets: Collection[tuple[str, str, str]], now: float) -> None:
        """Forget what is over and concerns no candidate any more, so that reloads with new names do not add up.

        Args:
            targets: Provider, key and model of every candidate to keep.
            now: Monotonic seconds.
        """
        kept = {name for at in targets for name in _names(RestKey(*at))}
        with self._lock:
            for name, rest in tuple(self._rests.items()):
                if name not in kept and rest.until <= now:
                    del self._rests[name]

    def statuses(self, now: float) -> tuple[RestStatus, ...]:
        """Return everything that rests, longest first."""
        with self._lock:
            found = [RestStatus(name, rest.until - now, rest.reason) for name, rest in self._rests.items()]
        return tuple(sorted((rest for rest in found if rest.rest_s > 0), key=lambda rest: -rest.rest_s))

    def _of(self, name: RestKey) -> _Rest:
        return self._rests.get(name) or self._rests.setdefault(name, _Rest())


def _names(candidate: RestKey) -> tuple[RestKey, RestKey, RestKey]:
    provider, key, model = candidate
    return RestKey(provider, key, ""), candidate, RestKey(provider, "", model)
