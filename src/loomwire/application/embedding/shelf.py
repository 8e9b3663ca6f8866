"""Shelf: what caches of vectors and rankings work with, made at build time."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from typing import Final, TypeVar

from loomwire.application.caching.canonical import silent_fields
from loomwire.application.caching.flights import Flights
from loomwire.application.caching.keys import SHARED, digest_of
from loomwire.application.caching.purges import Purges
from loomwire.application.caching.states import CacheStates
from loomwire.application.caching.tallies import CacheTally
from loomwire.application.pipeline import Parts
from loomwire.application.resilience.stand_ins import is_exhausted
from loomwire.application.scopes import GRACE_S
from loomwire.domain.caching.entries import CacheEntry, CacheKey
from loomwire.domain.caching.policies import CachePolicy
from loomwire.domain.config import ClientConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.pricing import FREE, Usage
from loomwire.domain.vectors.embeddings import CallTerms

LAYER: Final = "cache"
AT_ONCE: Final = 8
"""Looks and writes of one call at the same time: a level on a disk answers each on a thread."""
SHARE: Final = 0.25
"""Of the time that is left for a call, which its looks may take, and its writes: no level ends a call."""
LEAST_S: Final = GRACE_S / 2
"""But not less: what is old may answer a call whose time is over."""
PAUSE: Final = 16
"""Looks of one worker after which others have their turn, where a level answers without waiting."""
MANY: Final = 512
"""Texts of a request of which keys are made, or vectors given, before others have their turn."""
NOTHING_SENT: Final = (Usage(), FREE)
_LONGEST_NAMESPACE: Final = 200

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """What caches of vectors and rankings work with. Safe to share by tasks, threads and event loops.

    Attributes:
        store: Where they are kept.
        identity: Tells the model from all others, whoever serves it: two models with one identity would be given each
            other's vectors.
        policy: For how long they are kept, and up to which size; a policy that is off keeps nothing.
        namespace: What can be purged as a whole.
        flights: Calls that are going on, for those who ask the same.
        tally: What is counted.
        purges: How often what is kept was purged: nothing that was asked for before a purge is kept after it.
        clock: The time; None takes the system's.
        draw: Gives a number from 0 to 1, for the spread of lifetimes.
    """

    store: ICacheStrategy
    identity: bytes
    policy: CachePolicy = field(default_factory=CachePolicy)
    namespace: str = "vectors"
    flights: Flights = field(default_factory=Flights)
    tally: CacheTally = field(default_factory=CacheTally)
    purges: Purges = field(default_factory=Purges)
    clock: IClock | None = None
    draw: Callable[[], float] = random.random

    def prefix(self, operation: str, request: CallTerms, own: str) -> bytes | None:
        """Return what the keys of a request begin with: whatever changes its answer but for the field `own`.

        Returns:
            32 bytes; None when nothing of this call may be kept or used, which is counted.
        """
        if self.policy.mode != "off" and request.cache != "off":
            unsaid = silent_fields(type(request)) | {own}
            # Whatever somebody adds to a request enters the key.
            said = {one.name: getattr(request, one.name) for one in fields(request) if one.name not in unsaid}
            digest = digest_of(operation, self.identity, said)
            if digest is not None:
                return digest
        self.tally.note("bypassed")
        return None

    def key(self, prefix: bytes, *texts: str) -> CacheKey:
        """Return the key of texts after a prefix of 32 bytes."""
        digest = sha256(prefix)
        for text in texts:
            raw = text.encode("utf-8", "surrogatepass")
            # With its length, so that no two lists of texts are the same bytes.
            digest.update(len(raw).to_bytes(8, "little"))
            digest.update(raw)
        return CacheKey(self.namespace, digest.digest())

    async def found(self, key: CacheKey, stale_s: float = 0.0) -> CacheEntry | None:
        """Return what is kept and still fresh, or went stale less than so many seconds ago, or None."""
        entry = await self.store.get(key)
        longest_s = self.policy.ttl_s * (1 + self.policy.ttl_jitter)
        if entry is not None and entry.ttl_s > longest_s:
            # It was kept under longer terms, before an edit or by another process.
            entry = replace(entry, ttl_s=longest_s)
        return entry if entry is not None and (entry.is_fresh or entry.stale_s < stale_s) else None

    def stands_in(self, error: LLMError) -> bool:
        """Tell whether something old may be given because of an error: no target answered, and the policy allows it."""
        return self.policy.stale_if_error_s > 0 and is_exhausted(error)

    def behind(self, key: Hashable, request: CallTerms, work: Callable[[], Awaitable[object]]) -> None:
        """Have something old fetched anew while nobody waits, once at a time for all who got it."""
        self.flights.behind(key, work, until=math.inf if request.bound is None else request.bound.at)

    def purged(self) -> int:
        """Return how often what is kept here was purged; taken before something is asked for, and given to `keep`."""
        return self.purges.count(self.namespace)

    async def keep(self, key: CacheKey, value: bytes | None, purged: int) -> bool:
        """Keep a value unless it is None, too large or older than a purge; tell whether it was."""
        if value is None or len(value) > self.policy.max_entry or self.purged() != purged:
            return False
        spread = 1 + self.policy.ttl_jitter * (2 * self.draw() - 1)
        await self.store.set(key, value, ttl_s=max(self.policy.ttl_s * spread, 0.001), keep_s=self.policy.keep_s)
        if self.purged() != purged:
            # It was purged while it was on its way to a slow level.
            await self.store.invalidate(key)
            return False
        return True

    def hurry(self, request: CallTerms) -> Callable[[], bool]:
        """Return what tells whether looking, begun now, has taken its share of the time that is left."""
        now = self._now()
        until = math.inf if request.bound is None else now + max((request.bound.at - now) * SHARE, LEAST_S)
        return lambda: self._now() >= until

    async def joined(self, key: Hashable, request: CallTerms, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Have a work done once for all who ask for it now; return what it gave, and whether it was somebody else's."""
        until = math.inf if request.bound is None else request.bound.at
        return await self.flights.joined(key, work, until=until)

    def _now(self) -> float:
        return time.monotonic() if self.clock is None else self.clock.now()


def shelf_of(config: ClientConfig, caches: CacheStates, parts: Parts) -> Shelf | None:
    """Return where the vectors and rankings of a client's first model are kept; None when nothing identifies it.

    Clients of scope `shared` share what one model gave, whichever of them asked; all others keep to themselves.
    """
    policy = config.cache
    shared = policy.scope == "shared"
    identity = digest_of("vectors", None if shared else config.name, config.targets[0])
    if identity is None:
        return None
    return Shelf(
        store=caches.stores.store(policy.levels),
        identity=identity,
        policy=policy,
        namespace=SHARED if shared else namespace_of(config.name),
        flights=caches.flights,
        tally=caches.tally(config.name),
        purges=caches.purges,
        clock=parts.clock,
        draw=parts.draw,
    )


def namespace_of(client: str) -> str:
    """Return the namespace of a client: its name, or the digest of one that is too long."""
    if len(client) <= _LONGEST_NAMESPACE:
        return client
    return sha256(client.encode("utf-8", "surrogatepass")).hexdigest()


async def in_parts(items: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """Return items in parts, between which others have their turn."""
    for start in range(0, len(items), MANY):
        if start:
            await asyncio.sleep(0)
        yield items[start : start + MANY]


async def each(items: Sequence[T], do: Callable[[T], Awaitable[None]], is_over: Callable[[], bool]) -> None:
    """Do something for every item, a few at once, in any order; those left when it is over are left out."""
    left = iter(items)
    if len(items) == 1:
        await _work(left, do, is_over)
        return
    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, len(items))):
            group.create_task(_work(left, do, is_over))


async def _work(left: Iterable[T], do: Callable[[T], Awaitable[None]], is_over: Callable[[], bool]) -> None:
    for place, item in enumerate(left, 1):
        if is_over():
            return
        await do(item)
        if place % PAUSE == 0:
            await asyncio.sleep(0)
