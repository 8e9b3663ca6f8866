"""The contract of `IDependencyContainer`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import ClassVar

from loomwire.domain.errors import UnknownNameError
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.ports.container import IDependencyContainer
from loomwire.domain.requests import LLMRequest
from loomwire.testing.contracts.contract import Contract, claim, expect, in_threads, raised, same

_THREADS = 4


class Unheard:
    """A port that no container knows."""


class ContainerContract(Contract):
    """Claims what `loomwire.domain.ports.container` promises; subclass it as `TestMyContainer` and give it containers.

    Attributes:
        names: The names of the clients that `container` has.
        answering: Clients among them that answer without a network; each is asked.

    Example:
        >>> from loomwire import LLMConfig, LLMContainer
        >>> class TestMyContainer(ContainerContract):
        ...     names = ("planner",)
        ...     def container(self) -> AbstractAsyncContextManager[IDependencyContainer]:
        ...         rules = {"rules": [{"answer": "Paris.", "default": True}]}
        ...         return LLMContainer.of({"planner": LLMConfig(type="rule", model="any", options=rules)})
        >>> TestMyContainer().test_a_client_is_found_by_name()
    """

    port: ClassVar[str] = "loomwire.domain.ports.container.IDependencyContainer"
    names: ClassVar[tuple[str, ...]] = ()
    answering: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def container(self) -> AbstractAsyncContextManager[IDependencyContainer]:
        """Return a context with a container that has the clients `names`."""
        raise self.unwritten("container")

    @claim
    async def test_a_client_is_found_by_name(self) -> None:
        """`resolve` hands out the client of each name, a thing that generates and streams."""
        expect(self.names, "the suite names no client: set `names`")
        async with self.container() as container:
            for name in self.names:
                client: object = container.resolve(ILLMClient, name)
                expect(callable(getattr(client, "generate", None)), f"{name!r} cannot generate")
                expect(callable(getattr(client, "stream", None)), f"{name!r} cannot stream")

    @claim
    async def test_a_name_always_means_the_same_client(self) -> None:
        """Resolving a name again hands out the same client, and different names different ones."""
        async with self.container() as container:
            first = {name: container.resolve(ILLMClient, name) for name in self.names}
            for name in self.names:
                expect(container.resolve(ILLMClient, name) is first[name], f"{name!r} became another client")
        expect(len({id(client) for client in first.values()}) == len(first), "two names share one client")

    @claim
    async def test_a_client_answers(self) -> None:
        """What was resolved answers."""
        async with self.container() as container:
            for name in self.answering:
                answer = await container.resolve(ILLMClient, name).generate(LLMRequest.of("Hi"))
                expect(answer.provider, f"{name!r} does not say who answered")

    @claim
    async def test_an_unknown_name_lists_those_that_exist(self) -> None:
        """An unknown name raises UnknownNameError, and the message lists the names that exist."""
        async with self.container() as container:
            error = await raised(UnknownNameError, _resolving(container, ILLMClient, "nobody-has-this-name"))
        missing = [name for name in self.names if name not in str(error)]
        expect(not missing, f"the message does not name {', '.join(missing)}: {error}")

    @claim
    async def test_an_unknown_port_is_a_typed_error(self) -> None:
        """A port that the container does not know raises UnknownNameError, with and without a name."""
        async with self.container() as container:
            await raised(UnknownNameError, _resolving(container, Unheard, None))
            await raised(UnknownNameError, _resolving(container, Unheard, "any"))

    @claim
    async def test_threads_may_resolve_at_the_same_time(self) -> None:
        """Threads may resolve at the same time and get the same clients."""
        async with self.container() as container:

            async def resolve() -> list[int]:
                """Return what the names resolve to, as identities."""
                return [id(container.resolve(ILLMClient, name)) for name in self.names]

            found = await in_threads(_THREADS, resolve)
            same(found, [await resolve()] * _THREADS, "the clients that the threads got")


async def _resolving(container: IDependencyContainer, port: Callable[[], object], name: str | None) -> object:
    return container.resolve(port, name)
