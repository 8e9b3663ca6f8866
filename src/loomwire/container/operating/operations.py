"""What another process of the same user may ask a container: how it does, and what an operator decides."""

from __future__ import annotations

import asyncio
import math
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, TypeAlias

from loomwire.application.caching.states import CacheStates
from loomwire.application.memory.manager import MemoryManager
from loomwire.application.selection.route import Dropped, Kept, Route
from loomwire.application.state.circuits import Circuits
from loomwire.container.operating.caches import MOST_SHOWN, listed, namespaces_of, purged, told
from loomwire.container.operating.needs import RouteNeeds
from loomwire.container.operating.report import ContainerHealth
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.errors import ClientRemovedError, LLMValidationError
from loomwire.domain.reports.health import HealthState, ProviderHealth
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import JSON
from loomwire.infrastructure.control.protocol import Question

LONGEST_TRIP_S: Final = 7 * 86_400.0
"""Seconds for which a circuit can be opened; without a time it stays open until it is reset."""

_MICRO: Final = 1_000_000


class Operated(Protocol):
    """A container, as far as operations need it."""

    @property
    @abstractmethod
    def circuits(self) -> Circuits:
        """The circuits of all targets."""

    @property
    @abstractmethod
    def caches(self) -> CacheStates:
        """What all clients keep."""

    @property
    @abstractmethod
    def memory(self) -> MemoryManager:
        """What keeps the memory of the process bounded."""

    @abstractmethod
    def health(self) -> ContainerHealth:
        """Return how it does."""

    @abstractmethod
    async def check_providers(self, provider: str | None = None) -> tuple[ProviderHealth, ...]:
        """Look at the providers."""

    @abstractmethod
    def client_config(self, name: str) -> ClientConfig:
        """Return the configuration of a client."""

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Return the names of all clients."""

    @abstractmethod
    def route(self, name: str, request: LLMRequest, *, streamed: bool = False) -> Route:
        """Return whom a client would ask."""


_Values: TypeAlias = Mapping[str, JSON]


class Operations:
    """Does what is asked at the control socket, by name. Everything else is refused; nothing tells prompts or keys.

    Args:
        container: Returns the container, or None when it is gone.
    """

    def __init__(self, container: Callable[[], Operated | None]) -> None:
        """Do nothing yet."""
        self._container = container

    async def __call__(self, question: Question) -> Mapping[str, JSON]:
        """Do it and return what is to be told.

        Raises:
            LoomError: It cannot be done; the message says why.
        """
        container = self._container()
        if container is None:
            raise ClientRemovedError("the container is gone", reason="closed")
        operation = _OPERATIONS.get(question.do)
        if operation is None:
            raise LLMValidationError("there is no such operation", hint=f"There are: {', '.join(_OPERATIONS)}.")
        return await operation(container, question.values)


async def health(container: Operated, values: _Values) -> dict[str, JSON]:
    """Return the health of a container, and the clients that have nobody left to ask; `look` looks first."""
    if values.get("look") is True:
        await container.check_providers()
    found = container.health()
    states = {target.target: target.state for provider in found.providers for target in provider.targets}
    unserved: list[JSON] = [
        name
        for name in container.names()
        if all(states.get(each.target) == HealthState.UNHEALTHY for each in container.client_config(name).targets)
    ]
    return {"health": found.to_dict(), "unserved": unserved}


async def breakers(container: Operated, _: _Values) -> dict[str, JSON]:
    """Return every circuit."""
    return {"circuits": [status.to_dict() for status in container.circuits.statuses()]}


async def reset(container: Operated, values: _Values) -> dict[str, JSON]:
    """Close the circuit of a `name` and forget what it counted; of all when there is none."""
    name = values.get("name")
    container.circuits.reset(None if name is None else _name(name))
    return await breakers(container, values)


async def trip(container: Operated, values: _Values) -> dict[str, JSON]:
    """Open the circuit of a `name`, for `for_s` seconds or until it is reset."""
    circuit = container.circuits.find(_name(values.get("name")))
    for_s = values.get("for_s")
    if for_s is None:
        circuit.isolate()
    elif isinstance(for_s, int | float) and not isinstance(for_s, bool) and 0 < for_s <= LONGEST_TRIP_S:
        circuit.force_open(for_s)
    else:
        raise LLMValidationError(f"a circuit is opened for more than 0 and at most {LONGEST_TRIP_S:g} seconds")
    return await breakers(container, values)


async def memory(container: Operated, _: _Values) -> dict[str, JSON]:
    """Return how short of memory the process is and what holds it, as of now."""
    # It reads files.
    await asyncio.to_thread(container.memory.look)
    return {"memory": container.memory.report().to_dict()}


async def route(container: Operated, values: _Values) -> dict[str, JSON]:
    """Return whom a `client` would ask for a request with certain `needs`, and why."""
    given = values.get("needs", {})
    if not isinstance(given, dict):
        raise LLMValidationError("`needs` is an object")
    needs, client = RouteNeeds.read(given), _name(values.get("client"))
    request = needs.request()
    found = container.route(client, request, streamed=needs.stream)
    kept: list[JSON] = [_kept(each, needs) for each in found.kept]
    dropped: list[JSON] = [_dropped(each, needs) for each in found.dropped]
    return {"client": client, "rule": found.rule, "panic": found.panic, "kept": kept, "dropped": dropped}


async def caches(container: Operated, _: _Values) -> dict[str, JSON]:
    """Return what every level of the caches holds, and what the caches of each client did."""
    return told(container.caches)


async def entries(container: Operated, values: _Values) -> dict[str, JSON]:
    """Return facts of the entries that were asked for most often, of a `name` or of all, at most `limit` of them."""
    limit = values.get("limit", 20)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 0 < limit <= MOST_SHOWN:
        raise LLMValidationError(f"`limit` is a number from 1 to {MOST_SHOWN}")
    return await listed(container.caches, await _spaces(container, values), limit)


async def purge(container: Operated, values: _Values) -> dict[str, JSON]:
    """Forget what is kept for a `name`; everything when there is none."""
    return await purged(container.caches, await _spaces(container, values))


async def _spaces(container: Operated, values: _Values) -> tuple[str | None, ...]:
    name = values.get("name")
    if name is None:
        return (None,)
    clients = {each: container.client_config(each) for each in container.names()}
    return await namespaces_of(container.caches, clients, _name(name))


_Operation: TypeAlias = Callable[[Operated, _Values], Awaitable[Mapping[str, JSON]]]
_OPERATIONS: Final[Mapping[str, _Operation]] = {
    "health": health,
    "breakers": breakers,
    "reset": reset,
    "trip": trip,
    "route": route,
    "caches": caches,
    "entries": entries,
    "purge": purge,
    "memory": memory,
}


def _name(value: JSON) -> str:
    if not isinstance(value, str):
        raise LLMValidationError("a name is a text")
    return value


def _kept(kept: Kept, needs: RouteNeeds) -> dict[str, JSON]:
    load, cost = kept.load, kept.load.cost_micro
    return {
        "target": kept.candidate.name,
        "remark": kept.remark,
        # JSON has no infinity; null says that nobody knows.
        "rest_s": round(load.rest_s, 3) if load.rest_s < math.inf else None,
        "in_flight": load.in_flight,
        "failures": load.failures,
        "latency_s": None if load.latency_s is None else round(load.latency_s, 3),
        "share": round(load.share, 3),
        "cost_usd": None if cost is None else cost / _MICRO,
        **_known(kept.candidate.config, needs),
    }


def _dropped(dropped: Dropped, needs: RouteNeeds) -> dict[str, JSON]:
    return {
        "target": dropped.candidate.name,
        "reason": dropped.reason,
        **_known(dropped.candidate.config, needs),
    }


def _known(config: LLMConfig, needs: RouteNeeds) -> dict[str, JSON]:
    can = config.capabilities
    wanted = ("context_window", *needs.words())
    return {
        name.removeprefix("supports_"): {"value": getattr(can, name), "source": can.source(name)} for name in wanted
    }
