"""The ports for what is kept: one place for entries, and who opens such places."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Protocol

from loomwire.domain.caching.entries import CacheEntry, CacheKey, CacheStatistics, EntryFacts
from loomwire.domain.caching.policies import Level


class ICacheStrategy(Protocol):
    """Keeps bytes by key, bounded in bytes. Safe to share by tasks, threads and event loops, and usable after a fork.

    No method ever raises but for cancellation: what goes wrong (a full disk, a server that is down, garbage) is a miss,
    counted in `statistics().errors` and logged once to `loomwire.cache` when it begins. None ever returns a value that
    was not kept under the very key, or one that is older than its `ttl_s` and `keep_s` together.
    """

    __slots__ = ()

    @abstractmethod
    async def get(self, key: CacheKey) -> CacheEntry | None:
        """Return what is kept, fresh or stale, or None."""

    @abstractmethod
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        """Keep a value in place of the one that may be there.

        Args:
            key: Where.
            value: What.
            ttl_s: For how many seconds it is fresh, more than 0.
            keep_s: For how many seconds after that it may still be asked for.
        """

    @abstractmethod
    async def invalidate(self, key: CacheKey) -> bool:
        """Forget an entry; tell whether there was one."""

    @abstractmethod
    async def clear(self, namespace: str | None = None) -> None:
        """Forget all entries, or those of a namespace. Nothing that was kept before is ever returned afterwards."""

    @abstractmethod
    def statistics(self) -> CacheStatistics:
        """Return what it counts and holds now; never waits."""

    @abstractmethod
    async def entries(self, namespace: str | None = None, limit: int = 20) -> Sequence[EntryFacts]:
        """Return facts of the entries that were asked for most often, never their values."""

    async def sweep(self) -> int:
        """Drop what is older than it may be, and return how many entries that were; called now and then."""
        return 0

    def resize(self, share: float) -> None:  # noqa: ARG002  # only what takes memory of this process can give some back
        """Hold at most a share of the configured size from now on, from 0 (nothing is kept) to 1; never waits."""
        return

    async def aclose(self) -> None:
        """Let go of files, threads and connections. Idempotent; every later look is a miss."""
        return


class ICacheStores(Protocol):
    """Opens the levels of all clients, each once. Safe to call from any thread."""

    @abstractmethod
    def store(self, levels: tuple[Level, ...]) -> ICacheStrategy:
        """Return what asks these levels in order and writes to all; opens no file and no connection yet.

        Equal places (memory with one strategy, one file, one server with one prefix) are one level for all who ask,
        with the sizes and times that were asked for last; entries stay.
        """

    @abstractmethod
    def retain(self, levels: Iterable[Level]) -> None:
        """Close every level that is not among these; called after a configuration came into force."""

    @abstractmethod
    def levels(self) -> Sequence[ICacheStrategy]:
        """Return every open level, the fastest first, for statistics, clean-up and purging."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close every level. Idempotent."""
