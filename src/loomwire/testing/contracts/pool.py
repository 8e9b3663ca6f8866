"""The contract of `IConnectionPool`. The suite brings a server; it uses sockets, on loopback only."""

from __future__ import annotations

from loomwire.testing.contracts.pool_claims.carrying import CarryingClaims
from loomwire.testing.contracts.pool_claims.lending import LendingClaims


class PoolContract(LendingClaims, CarryingClaims):
    """Claims what `loomwire.domain.ports.pool` promises; subclass it as `TestMyPool` and give it pools.

    Class attributes say what your pool cannot do, see `PoolHarness`; the claims about it are skipped then.

    Example:
        >>> from loomwire.domain.ports.pool import IConnectionPool
        >>> from loomwire.infrastructure.transport.pool import ConnectionPool
        >>> class TestMyPool(PoolContract):
        ...     def pool(self) -> IConnectionPool:
        ...         return ConnectionPool()
        >>> TestMyPool().test_releasing_twice_does_nothing()
    """
