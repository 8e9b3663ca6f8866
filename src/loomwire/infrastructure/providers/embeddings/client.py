"""The embedder of every model behind a network: a dialect writes and reads, a connection pool carries."""

from __future__ import annotations

from typing import final

from typing_extensions import override

from loomwire.domain.errors import LoomError
from loomwire.domain.ports.embedding import IEmbedder
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse
from loomwire.infrastructure.providers.embeddings.dialect import Embedded
from loomwire.infrastructure.providers.embeddings.numbers import check_vectors
from loomwire.infrastructure.providers.wire.exchange.asking import Noted, WireAsking, charge
from loomwire.infrastructure.providers.wire.words import conceal


@final
class WireEmbedder(WireAsking[EmbedRequest, Embedded, EmbedResponse], IEmbedder):
    """Asks one model for the vectors of one batch; arguments and errors are those of `WireAsking`."""

    __slots__ = ()

    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        return await self.asked(request)

    @override
    def answer(self, request: EmbedRequest, read: Embedded, head: Noted) -> EmbedResponse:
        check_vectors(read.vectors, request)
        cost = charge(self.config, read.usage)
        return EmbedResponse(tuple(read.vectors), usage=read.usage, cost=cost, **self.origin(head, read.model))

    @override
    def conceal(self, error: LoomError, request: EmbedRequest) -> None:
        conceal(error, request.texts)
