"""A host's container whose parts stand in for ours."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, TypeAlias

from dependency_injector import containers
from typing_extensions import override

from loomwire.container.inspection.checks import fits
from loomwire.domain.errors import UnknownNameError, WiringError
from loomwire.domain.policies import TransportPolicy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.container import IDependencyContainer
from loomwire.domain.ports.events import IEventSink
from loomwire.domain.ports.output import IOutputSchemas
from loomwire.domain.ports.pool import ConnectionLease, IConnectionPool, PoolStats
from loomwire.domain.requests import Bound

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Parent: TypeAlias = IDependencyContainer | containers.Container
"""What a host resolves its parts from: anything with `resolve(port)`, or a container of dependency-injector."""

# Not the factory and not the registry: what those build is ours, and another container of ours resolves its own.
_LENT: Mapping[str, type] = {
    "clock": IClock,
    "connection_pool": IConnectionPool,
    "event_sink": IEventSink,
    "output_schemas": IOutputSchemas,
}


class LentPool(IConnectionPool):
    """A pool that belongs to somebody else: its connections are used, and never closed from here.

    Args:
        pool: The owner's pool.
    """

    __slots__ = ("_pool",)

    def __init__(self, pool: IConnectionPool) -> None:
        """Use a pool."""
        self._pool = pool

    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = TransportPolicy(), bound: Bound | None = None
    ) -> ConnectionLease:
        return await self._pool.acquire(base_url, policy, bound)

    @override
    def release(self, lease: ConnectionLease) -> None:
        self._pool.release(lease)

    @override
    def get_stats(self) -> PoolStats:
        return self._pool.get_stats()

    @override
    async def aclose(self) -> None:
        """Close nothing."""


def parts_of(parent: Parent, besides: Collection[str] = ()) -> Mapping[str, object]:
    """Return what a parent has of our clock, connection pool, event sink and output schemas, by name.

    A container of dependency-injector is asked for its providers of the names `clock`, `connection_pool`,
    `event_sink` and `output_schemas`; another parent is asked for each port and says `UnknownNameError` for what it
    does not have. The parts stay the parent's: its pool is not closed from here.

    Args:
        parent: The parent. It is asked once, on the calling thread.
        besides: Names that are not asked for.

    Raises:
        WiringError: It is no container, or a part does not fit its port; all are listed.
    """
    if not (isinstance(parent, containers.Container) or _resolves(parent)):
        needs = "IDependencyContainer or a container of dependency-injector"
        raise _wrong([f"WIR002 parent: needs {needs}, gets {_class_of(parent)}"])
    found: dict[str, object] = {}
    for name, port in _LENT.items():
        if name not in besides:
            found |= _asked(parent, name, port)
    wrong = [
        f"WIR002 parent -> {name}: needs {_LENT[name].__name__}, gets {_class_of(part)}"
        for name, part in found.items()
        if not fits(type(part), _LENT[name])
    ]
    if wrong:
        raise _wrong(wrong)
    pool = found.get("connection_pool")
    return found | {"connection_pool": LentPool(pool)} if _is_pool(pool) else found


def _asked(parent: Parent, name: str, port: type) -> Mapping[str, object]:
    if isinstance(parent, containers.Container):
        provider = parent.providers.get(name)
        return {} if provider is None else {name: provider()}
    try:
        return {name: parent.resolve(port)}
    except UnknownNameError:
        return {}


def _resolves(parent: object) -> bool:
    # A class has the method too, and nobody to call it on.
    return callable(getattr(parent, "resolve", None)) and not isinstance(parent, type)


def _is_pool(part: object) -> TypeIs[IConnectionPool]:
    return part is not None and fits(type(part), IConnectionPool)


def _class_of(part: object) -> str:
    return f"the class {part.__name__}" if isinstance(part, type) else type(part).__name__


def _wrong(problems: list[str]) -> WiringError:
    return WiringError(f"the parent's parts cannot be used: {'; '.join(problems)}", problems=problems)
