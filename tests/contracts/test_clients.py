"""The clients beside the provider table keep the contract of ILLMClient: the fake, each layer, and the whole chain."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from typing_extensions import override

from loomwire.application.clients.deadline import DeadlineClient
from loomwire.application.clients.guarded import GuardedClient
from loomwire.application.clients.instructed import InstructedClient
from loomwire.application.clients.timed import TimedClient
from loomwire.application.guards.observe import Observe
from loomwire.application.state.stats import CallStats
from loomwire.domain.config import LLMConfig
from loomwire.domain.policies import TimeoutPolicy
from loomwire.domain.ports.client import ILLMClient
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FakeProvider, Reply, ScriptedClient
from loomwire.testing.contracts.client import ClientContract
from support.chains import chain_of


class TestScriptedClient(ClientContract):
    """The fake that tests use keeps the contract it stands in for."""

    @override
    @asynccontextmanager
    async def client_answering(self, *replies: Reply) -> AsyncGenerator[ILLMClient]:
        yield ScriptedClient(*replies[:-1], then=replies[-1])

    @override
    def in_use(self, client: ILLMClient) -> int:
        return client.open_streams if isinstance(client, ScriptedClient) else 0


class LayerContract(ClientContract):
    """A layer over a scripted client."""

    leaf: ScriptedClient

    @abstractmethod
    def over(self, leaf: ILLMClient) -> ILLMClient:
        """Return the layer around a leaf."""

    @override
    @asynccontextmanager
    async def client_answering(self, *replies: Reply) -> AsyncGenerator[ILLMClient]:
        self.leaf = ScriptedClient(*replies[:-1], then=replies[-1])
        yield self.over(self.leaf)

    @override
    def in_use(self, client: ILLMClient) -> int:
        return self.leaf.open_streams


class TestGuardedClient(LayerContract):
    @override
    def over(self, leaf: ILLMClient) -> ILLMClient:
        return GuardedClient(leaf, Observe("call", client="c", tally=CallStats().tally("c"), clock=SystemClock()))


class TestDeadlineClient(LayerContract):
    obeys_deadline_s = True

    @override
    def over(self, leaf: ILLMClient) -> ILLMClient:
        return DeadlineClient(leaf, total_s=60.0, clock=SystemClock())


class TestInstructedClient(LayerContract):
    @override
    def over(self, leaf: ILLMClient) -> ILLMClient:
        return InstructedClient(leaf, "You are brief.")


class TestTimedClient(LayerContract):
    @override
    def over(self, leaf: ILLMClient) -> ILLMClient:
        return TimedClient(leaf, timeouts=TimeoutPolicy(), clock=SystemClock())


class TestWholeChain(LayerContract):
    obeys_deadline_s = True

    @override
    def over(self, leaf: ILLMClient) -> ILLMClient:
        return chain_of(leaf)[0]


class TestWholeChainOverTheWire(ClientContract):
    """What a host resolves: the chain over a networked leaf."""

    obeys_deadline_s = True
    pool: ConnectionPool

    @override
    @asynccontextmanager
    async def client_answering(self, *replies: Reply) -> AsyncGenerator[ILLMClient]:
        self.pool = ConnectionPool()
        async with FakeProvider(*replies[:-1], then=replies[-1]) as provider:
            config = LLMConfig.openai("m", api_key="k", base_url=provider.base_url, allow_private=True)
            yield chain_of(ClientFactory(self.pool, SystemClock()).create(config))[0]
            await self.pool.aclose()

    @override
    def in_use(self, client: ILLMClient) -> int:
        return self.pool.get_stats().active
