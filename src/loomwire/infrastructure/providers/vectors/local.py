"""Embedder and reranker of a model that this process serves itself: they wait for the server, then ask it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar, final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LoomError, llm_error
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.embedding import IEmbedder, IReranker
from loomwire.domain.values import Secret
from loomwire.domain.vectors.embeddings import CallTerms, EmbedRequest, EmbedResponse, RerankRequest, RerankResponse
from loomwire.infrastructure.local.engine import Engine
from loomwire.infrastructure.local.server import LocalLease

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
    async def ready(self, request: CallTerms) -> AsyncGenerator[L]:
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


@final
class LocalEmbedder(IEmbedder):
    """Asks a server of this process for vectors.

    Args:
        served: The server.
    """

    def __init__(self, served: Served[IEmbedder]) -> None:
        """Start nothing yet."""
        self._served = served

    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        async with self._served.ready(request) as embedder:
            return await embedder.embed(request)

    @override
    def __repr__(self) -> str:
        return f"LocalEmbedder({self._served.config.target})"


@final
class LocalReranker(IReranker):
    """Asks a server of this process for ranks.

    Args:
        served: The server.
    """

    def __init__(self, served: Served[IReranker]) -> None:
        """Start nothing yet."""
        self._served = served

    @override
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        async with self._served.ready(request) as reranker:
            return await reranker.rerank(request)

    @override
    def __repr__(self) -> str:
        return f"LocalReranker({self._served.config.target})"
