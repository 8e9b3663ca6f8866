"""Whom an agent asks, from its first question to its last."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from loomwire.application.registry import ClientHandle
from loomwire.domain.ports.client import ILLMClient

TOTAL_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class AgentTarget:
    """What one run works with.

    Attributes:
        client: The chain to ask.
        total_s: Seconds for a run whose request has no deadline.
        priced: What every answer costs is known.
    """

    client: ILLMClient
    total_s: float
    priced: bool


class AgentSource(ABC):
    """Hands out whom a run asks."""

    @abstractmethod
    def lease(self) -> AbstractContextManager[AgentTarget]:
        """Return a hold for a whole run, so that it meets the model whose reasoning it sends back.

        Raises:
            ClientRemovedError: The client is no longer configured, or its container is closed.
        """


class OneClient(AgentSource):
    """A client of the host's own, outside any configuration.

    Args:
        client: The client.
        total_s: Seconds for a run whose request has no deadline.
        priced: What every answer costs is known, so that a cost limit can be kept.
    """

    __slots__ = ("_target",)

    def __init__(self, client: ILLMClient, *, total_s: float = TOTAL_S, priced: bool = False) -> None:
        """Keep the client."""
        self._target = AgentTarget(client, total_s, priced)

    @override
    @contextmanager
    def lease(self) -> Generator[AgentTarget]:
        yield self._target


class ConfiguredClient(AgentSource):
    """A client of a container: a run stays on the configuration that was in force when it began.

    Args:
        handle: The client's handle.
    """

    __slots__ = ("_handle",)

    def __init__(self, handle: ClientHandle) -> None:
        """Keep the handle."""
        self._handle = handle

    @override
    @contextmanager
    def lease(self) -> Generator[AgentTarget]:
        lease = self._handle.lease()
        with lease as target:
            # Any of them may answer.
            priced = all(each.free or each.prices is not None for each in lease.entry.config.targets)
            yield AgentTarget(target.client, target.total_s, priced)


def source_of(client: ILLMClient | AgentSource) -> AgentSource:
    """Return where the client of each run comes from."""
    if isinstance(client, AgentSource):
        return client
    return ConfiguredClient(client) if isinstance(client, ClientHandle) else OneClient(client)
