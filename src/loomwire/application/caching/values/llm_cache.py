"""LLMCache: what a host keeps itself, in the caches of its container."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextvars import ContextVar
from typing import Final, TypeVar

from loomwire.application.caching.keys import digest_of
from loomwire.application.caching.states import CacheStates
from loomwire.application.caching.values.purging import UnderWay
from loomwire.domain.caching.entries import CacheKey, CacheStatistics
from loomwire.domain.caching.policies import CachePolicy
from loomwire.domain.errors import LLMValidationError
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.domain.values import JSON

T = TypeVar("T", bound=JSON)

_VERSION: Final = 1
_LONGEST_NAMESPACE: Final = 200
_OPERATION: Final = "host"
_FETCHING: Final[ContextVar[tuple[Hashable, ...]]] = ContextVar("loomwire_fetching", default=())
"""For whom a `fetch` runs, the outermost first."""


class LLMCache:
    """Keeps a host's own values: what a retriever found, what a tool returned. Values and parts of keys are JSON.

    A value is kept under a namespace, any number of parts and a tenant; all of them tell it from others, and no two
    tenants share. It is kept on the levels of the configuration in force, beside the answers of its clients. Two
    namespaces never share a value either; a namespace that is a client's name is purged with it.

    What goes wrong on a level is a miss and never an error. Nothing is kept while the configuration says `off`, and
    nothing that is larger than `max_entry`. Safe to share by tasks, threads and event loops.

    Args:
        caches: The levels, and what goes on.
        policy: Returns what holds now: levels, lifetime, spread and size.
        draw: Gives a number from 0 to 1, for the spread of lifetimes.
        begin: Has the memory of the process watched; called before anything is kept, and returns at once.

    Example:
        >>> async def passages(cache: LLMCache, question: str) -> Sequence[JSON]:
        ...     async def search() -> Sequence[JSON]:
        ...         return ["The panda is a bear."]  # ask the vector store
        ...
        ...     return await cache.remember("passages", question, 5, fetch=search, ttl_s=600)
    """

    def __init__(
        self,
        caches: CacheStates,
        policy: Callable[[], CachePolicy],
        draw: Callable[[], float] = random.random,
        begin: Callable[[], object] = int,
    ) -> None:
        """Open nothing yet."""
        self._caches = caches
        self._policy = policy
        self._draw = draw
        self._begin = begin
        self._under_way = UnderWay()

    async def get(self, namespace: str, *parts: JSON, tenant: str | None = None, default: JSON = None) -> JSON:
        """Return a value that is kept and fresh, or `default`.

        Raises:
            LLMValidationError: The namespace or a part is nothing that a key can be made of.
        """
        raw = await self._kept(_key(namespace, parts, tenant))
        value: JSON = default if raw is None else json.loads(raw)["value"]
        return value

    async def set(
        self, namespace: str, *parts: JSON, value: JSON, ttl_s: float | None = None, tenant: str | None = None
    ) -> None:
        """Keep a value in place of the one that may be there. None is a value.

        Args:
            namespace: What can be purged as a whole, 1 to 200 characters.
            *parts: What it is the value of.
            value: What to keep.
            ttl_s: For how many seconds; None takes the configured lifetime.
            tenant: On whose behalf.

        Raises:
            LLMValidationError: The value or a part is no JSON, or `ttl_s` or the namespace is out of its range.
        """
        key, raw, lifetime = _key(namespace, parts, tenant), _bytes(value), self._lifetime(ttl_s)
        self._under_way.purged(key)
        await self._keep(key, raw, lifetime)

    async def remember(
        self,
        namespace: str,
        *parts: JSON,
        fetch: Callable[[], Awaitable[T]],
        ttl_s: float | None = None,
        tenant: str | None = None,
    ) -> T:
        """Return the value that is kept, or what `fetch()` gives, which is kept then.

        Who asks for the same at the same time on one event loop waits for one fetch. It runs in a task of its own, so
        that nobody's cancellation harms the others; the last one's cancels it. Every caller gets a value of its own,
        read from JSON: tuples come as lists, whether it was kept or not. What `fetch` brings after its key was set,
        invalidated or cleared is given to those who had asked before, and not kept.

        Args:
            namespace: What can be purged as a whole, 1 to 200 characters.
            *parts: What it is the value of.
            fetch: Gets the value; it cannot ask for the same value itself, and two must not ask for each other's.
            ttl_s: For how many seconds to keep it; None takes the configured lifetime.
            tenant: On whose behalf.

        Raises:
            LLMValidationError: A part or what was fetched is no JSON, `ttl_s` or the namespace is out of its range, or
                `fetch` asks for its own value.
            Exception: What `fetch` raised, to each caller as a copy of its own; it is not kept.
        """
        key, lifetime = _key(namespace, parts, tenant), self._lifetime(ttl_s)
        purges = self._caches.purges
        with self._under_way.caller(key) as fetching:
            purged = purges.count(namespace)

            def is_void() -> bool:
                return fetching.is_void or purges.count(namespace) != purged

            # Whoever comes after a purge begins anew.
            flight = (_OPERATION, key, fetching, purged)
            outer = _FETCHING.get()
            if flight in outer:
                # It would wait for itself, also after everybody else has left.
                raise LLMValidationError("fetch asks for the value that it fetches", hint="Ask the source itself.")

            async def work() -> bytes:
                _FETCHING.set((*outer, flight))
                kept = await self._kept(key)
                return await self._fetched(key, fetch, lifetime, is_void) if kept is None else kept

            raw, _ = await self._caches.flights.joined(flight, work)
        value: T = json.loads(raw)["value"]
        return value

    async def invalidate(self, namespace: str, *parts: JSON, tenant: str | None = None) -> bool:
        """Forget a value; tell whether there was one.

        Raises:
            LLMValidationError: The namespace or a part is nothing that a key can be made of.
        """
        key = _key(namespace, parts, tenant)
        self._under_way.purged(key)
        store = self._store()
        return store is not None and await store.invalidate(key)

    async def clear(self, namespace: str | None = None) -> None:
        """Forget all values of a namespace on every level, of all tenants; without one everything, answers included."""
        await self._caches.purge(namespace)

    def statistics(self) -> Sequence[CacheStatistics]:
        """Return what each open level holds and did, the fastest first; never waits."""
        return [level.statistics() for level in self._caches.stores.levels()]

    async def _fetched(
        self, key: CacheKey, fetch: Callable[[], Awaitable[JSON]], lifetime: float, is_void: Callable[[], bool]
    ) -> bytes:
        raw = _bytes(await fetch())
        store = None if is_void() else await self._keep(key, raw, lifetime)
        if store is not None and is_void():
            # It was purged while it was on its way to a slow level.
            await store.invalidate(key)
        return raw

    async def _kept(self, key: CacheKey) -> bytes | None:
        store = self._store()
        entry = None if store is None else await store.get(key)
        if store is None or entry is None or not entry.is_fresh:
            return None
        if _is_ours(entry.value):
            return entry.value
        await store.invalidate(key)
        return None

    async def _keep(self, key: CacheKey, raw: bytes, lifetime: float) -> ICacheStrategy | None:
        store = self._store()
        if store is None or len(raw) > self._policy().max_entry:
            return None
        self._begin()
        await store.set(key, raw, ttl_s=lifetime)
        return store

    def _store(self) -> ICacheStrategy | None:
        policy = self._policy()
        return None if policy.is_off else self._caches.stores.store(policy.levels)

    def _lifetime(self, ttl_s: float | None) -> float:
        policy = self._policy()
        if ttl_s is None:
            ttl_s = policy.ttl_s
        if not 0 < ttl_s < math.inf:
            raise LLMValidationError(f"ttl_s must be a positive number of seconds, not {ttl_s}", hint="Correct ttl_s.")
        return max(ttl_s * (1 + policy.ttl_jitter * (2 * self._draw() - 1)), 0.001)


def _key(namespace: str, parts: tuple[JSON, ...], tenant: str | None) -> CacheKey:
    if not 0 < len(namespace) <= _LONGEST_NAMESPACE:
        raise LLMValidationError("a namespace must be a text of 1 to 200 characters", hint="Correct the namespace.")
    digest = digest_of(_OPERATION, tenant, namespace, parts)
    if digest is None:
        raise LLMValidationError("the parts of a key must be JSON", hint="Give texts, numbers, lists and mappings.")
    return CacheKey(namespace, digest)


def _bytes(value: JSON) -> bytes:
    try:
        return json.dumps({"v": _VERSION, "value": value}, allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError, RecursionError):
        raise LLMValidationError(
            "what is to be kept is no JSON", hint="Keep texts, numbers, lists, mappings."
        ) from None


def _is_ours(raw: bytes) -> bool:
    try:
        found: object = json.loads(raw)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("v") == _VERSION and "value" in found


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return list(value)
    raise TypeError
