"""The contract of `ILLMClientFactory`."""

from __future__ import annotations

import asyncio
import copy
import socket
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, UnknownNameError
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory
from loomwire.testing.contracts.contract import Contract, SeenError, claim, expect, in_threads, raised, same

_UNKNOWN = "nobody-has-this-type"
_THREADS = 4
_PATIENCE_S = 0.05


class ClientFactoryContract(Contract):
    """Claims what `ILLMClientFactory` promises; subclass it as `TestMyFactory` and give it factories.

    Example:
        >>> from loomwire.infrastructure.providers.factory import ClientFactory
        >>> from loomwire.infrastructure.telemetry.clock import SystemClock
        >>> from loomwire.infrastructure.transport.deferred import DeferredPool
        >>> class TestMyFactory(ClientFactoryContract):
        ...     def factory(self) -> ILLMClientFactory:
        ...         return ClientFactory(DeferredPool(), SystemClock())
        ...     def buildable(self, base_url: str) -> Sequence[LLMConfig]:
        ...         return [LLMConfig(type="llamacpp", model="m", base_url=base_url, allow_private=True)]
        >>> TestMyFactory().test_building_opens_no_connection()
    """

    port: ClassVar[str] = "loomwire.domain.ports.client.ILLMClientFactory"

    @abstractmethod
    def factory(self) -> ILLMClientFactory:
        """Return a fresh factory."""
        raise self.unwritten("factory")

    @abstractmethod
    def buildable(self, base_url: str) -> Sequence[LLMConfig]:
        """Return configurations that it can build, one of each type; networked ones stand at `base_url`."""
        raise self.unwritten("buildable")

    def refused(self) -> Sequence[LLMConfig]:
        """Return configurations that lack something, such as a key, or say something that is not allowed."""
        return ()

    @claim
    async def test_it_builds_clients(self) -> None:
        """`create` returns a thing that generates and streams, with and without a running event loop."""
        factory = self.factory()
        for config in self._buildable():
            await asyncio.to_thread(_check_client, factory, config)
            _check_client(factory, config)

    @claim
    async def test_building_opens_no_connection(self) -> None:
        """`create` opens no connection: the first call does."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0)
            factory = self.factory()
            clients = [factory.create(one) for one in self.buildable(_url(listener))]
            await asyncio.sleep(_PATIENCE_S)
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                expect(clients, "the suite builds nothing: `buildable` is empty")
                return
            connection.close()
        raise SeenError("a connection was opened while nothing was asked")

    @claim
    async def test_an_unknown_type_lists_those_that_exist(self) -> None:
        """An unknown provider type raises UnknownNameError, and the message lists the types that exist."""
        factory = self.factory()
        unknown = LLMConfig(type=_UNKNOWN, model="m")
        error = await raised(UnknownNameError, _creating(factory, unknown))
        missing = sorted({one.type for one in self._buildable() if one.type not in str(error)})
        expect(not missing, f"the message does not name {', '.join(missing)}: {error}")

    @claim
    async def test_what_is_missing_or_not_allowed_is_a_config_error(self) -> None:
        """A configuration that lacks something raises ConfigError, which never shows a key."""
        factory = self.factory()
        for config in self.refused():
            error = await raised(ConfigError, _creating(factory, config))
            shown = [key for key in config.keys if key.reveal() in f"{error}{error!r}{error.to_dict()}"]
            expect(not shown, "the error shows the key")

    @claim
    async def test_resolving_twice_changes_nothing(self) -> None:
        """`resolved` fills gaps only: names stay, and resolving again changes nothing."""
        factory = self.factory()
        for config in self._buildable():
            once = factory.resolved(config)
            same(factory.resolved(once), once, f"what resolving {config.type} twice gives")
            kept = replace(once, base_url=config.base_url)
            same((kept.type, kept.name, kept.model), (config.type, config.name, config.model), "the names")
            _check_client(factory, once)

    @claim
    async def test_a_configuration_is_never_changed(self) -> None:
        """Neither `create` nor `resolved` changes the configuration."""
        factory = self.factory()
        for config in self._buildable():
            before = copy.deepcopy(config)
            factory.create(config)
            factory.resolved(config)
            same(config, before, f"the configuration of {config.type} afterwards")

    @claim
    async def test_threads_may_build_at_the_same_time(self) -> None:
        """Threads may build at the same time; nobody gets another one's client."""
        factory = self.factory()
        configs = self._buildable()

        async def build() -> list[ILLMClient]:
            """Build a client of every configuration."""
            return [factory.create(config) for config in configs]

        built = await in_threads(_THREADS, build)
        made = {id(client) for clients in built for client in clients}
        same(len(made), _THREADS * len(configs), "the number of clients made")

    def _buildable(self) -> Sequence[LLMConfig]:
        # Nobody listens there, and nobody has to.
        return self.buildable("http://127.0.0.1:9/v1")


def _check_client(factory: ILLMClientFactory, config: LLMConfig) -> None:
    client: object = factory.create(config)
    for word in ("generate", "stream"):
        expect(callable(getattr(client, word, None)), f"what it made for {config.type} cannot {word}")


async def _creating(factory: ILLMClientFactory, config: LLMConfig) -> ILLMClient:
    return factory.create(config)


def _url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
