"""What a model that this process serves is beside a client: it waits for the server, then asks it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar, final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.counting.counts import TokenCount
from loomwire.domain.errors import LoomError, llm_error
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.counting import ITokenCounter
from loomwire.domain.ports.embedding import IEmbedder, IReranker
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import Secret
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, RerankRequest, RerankResponse
from loomwire.infrastructure.local.engine import Engine
from loomwire.infrastructure.local.server import LocalLease
from loomwire.infrastructure.providers.wire.exchange.asking import Bounded

L = TypeVar("L")


class Served(Generic[L]):
    """A share of a server of this process, which the first call starts; waiting for it ends with the request's bound.

    Args:
        config: The target.
        lease: Its share of the server.
        clock: Whose instants bounds are.
        make: Builds what speaks to a running server, once for each start of it.
    """

    def __init__(self, config: LLMConfig, lease: LocalLease, clock: IClock, make: Callable[[Engine], L]) -> None:
        """Start nothing yet."""
        self.config = config
        self._lease = lease
        self._clock = clock
        self._make = make
        self._made: tuple[Secret, L] | None = None

    @asynccontextmanager
    async def ready(self, request: Bounded) -> AsyncGenerator[L]:
        """Give what speaks to the running server; the server counts the call until the end of the block.

        Raises:
            LLMError: The model cannot be served, or the request's bound passed while it was loading.
        """
        if self._lease.closed:
            raise llm_error("closed", "the container of this model is closed")
        server = self._lease.server
        try:
            engine = await server.begin(self._clock, request.bound)
        except LoomError as error:
            error.located(self.config.name, self.config.model)
            raise
        try:
            made = self._made
            if made is None or made[0] is not engine.key:
                made = self._made = (engine.key, self._make(engine))
            yield made[1]
        finally:
            server.end()


class LocalPart(Generic[L]):
    """Asks a server of this process.

    Args:
        served: The server.

    Attributes:
        served: The server.
    """

    def __init__(self, served: Served[L]) -> None:
        """Start nothing yet."""
        self.served = served

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.served.config.target})"


@final
class LocalEmbedder(LocalPart[IEmbedder], IEmbedder):
    """Asks a server of this process for vectors."""

    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        async with self.served.ready(request) as embedder:
            return await embedder.embed(request)


@final
class LocalReranker(LocalPart[IReranker], IReranker):
    """Asks a server of this process for ranks."""

    @override
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        async with self.served.ready(request) as reranker:
            return await reranker.rerank(request)


@final
class LocalCounter(LocalPart[ITokenCounter], ITokenCounter):
    """Has a server of this process count: the one that also answers."""

    @override
    async def count(self, request: LLMRequest) -> TokenCount:
        async with self.served.ready(request) as counter:
            return await counter.count(request)
