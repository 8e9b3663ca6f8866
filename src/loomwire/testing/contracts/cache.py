"""The contract of `ICacheStrategy`, for every place where entries are kept."""

from __future__ import annotations

from loomwire.testing.contracts.cache_claims.bounding import BoundingClaims
from loomwire.testing.contracts.cache_claims.keeping import KeepingClaims
from loomwire.testing.contracts.cache_claims.sharing import SharingClaims


class CacheContract(KeepingClaims, BoundingClaims, SharingClaims):
    """Claims what `loomwire.domain.ports.caching.cache` promises; subclass it as `TestMyCache` and give it caches.

    Class attributes say what your cache cannot do, see `CacheHarness`; the claims about it are skipped then. Time
    passes as you say: by `unit_s` where it really does, or by `let_pass` where a clock can be moved.

    Example:
        >>> from collections.abc import AsyncGenerator
        >>> from contextlib import asynccontextmanager
        >>> from loomwire.domain.caching.policies import MemoryLevel
        >>> from loomwire.domain.ports.caching.cache import ICacheStrategy
        >>> from loomwire.infrastructure.caching.memory import MemoryCache
        >>> class TestMyCache(CacheContract):
        ...     @asynccontextmanager
        ...     async def cache(self, limit_bytes: int) -> AsyncGenerator[ICacheStrategy]:
        ...         yield MemoryCache(MemoryLevel(limit_bytes))
        >>> TestMyCache().test_what_is_set_is_got()
    """
