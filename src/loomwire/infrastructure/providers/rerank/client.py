"""The reranker of every model behind a network: a dialect writes and reads, a connection pool carries."""

from __future__ import annotations

from typing import final

from typing_extensions import override

from loomwire.domain.errors import LoomError
from loomwire.domain.ports.embedding import IReranker
from loomwire.domain.vectors.embeddings import RerankRequest, RerankResponse
from loomwire.infrastructure.providers.rerank.dialect import Reranked, best
from loomwire.infrastructure.providers.wire.exchange.asking import Noted, WireAsking, charge
from loomwire.infrastructure.providers.wire.words import conceal


@final
class WireReranker(WireAsking[RerankRequest, Reranked, RerankResponse], IReranker):
    """Asks one model for ranks; arguments and errors are those of `WireAsking`."""

    __slots__ = ()

    @override
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        return await self.asked(request)

    @override
    def answer(self, request: RerankRequest, read: Reranked, head: Noted) -> RerankResponse:
        cost = charge(self.config, read.usage)
        results = best(read.results, request)
        return RerankResponse(results, usage=read.usage, cost=cost, **self.origin(head, read.model))

    @override
    def conceal(self, error: LoomError, request: RerankRequest) -> None:
        conceal(error, (request.query, *request.documents))
