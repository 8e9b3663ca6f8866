"""The reranker of every model behind a network: a dialect writes and reads, a connection pool carries."""

from __future__ import annotations

from typing import final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LoomError
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.embedding import IReranker
from loomwire.domain.ports.pool import IConnectionPool, WireRequest
from loomwire.domain.vectors.embeddings import RerankRequest, RerankResponse
from loomwire.infrastructure.providers.embeddings.client import Noted, charge
from loomwire.infrastructure.providers.rerank.dialect import RerankDialect, best
from loomwire.infrastructure.providers.wire.exchange.headers import JSON_TYPE, request_headers
from loomwire.infrastructure.providers.wire.exchange.unary import Exchanges
from loomwire.infrastructure.providers.wire.words import conceal, label


@final
class WireReranker(IReranker):
    """Asks one model for ranks. Everything that does not depend on the request is prepared when it is built.

    Deadlines and limits belong to the layers above; `request.bound` is passed to the transport.

    Args:
        config: The target, with a base URL.
        dialect: Writes and reads.
        pool: Carries.
        clock: For the short wait for an error's body.
        auth: How the key is sent: bearer, none, or the name of a header.
        endpoint: What errors call the place; scheme, host and port.

    Raises:
        ConfigError: There is no base URL, or a header is not allowed.
    """

    __slots__ = ("_config", "_dialect", "_exchanges", "_headers", "_path")

    def __init__(
        self,
        config: LLMConfig,
        dialect: RerankDialect,
        pool: IConnectionPool,
        clock: IClock,
        auth: str = "bearer",
        endpoint: str | None = None,
    ) -> None:
        """Prepare headers, path and policy; opens no connection."""
        self._exchanges = Exchanges(config, dialect, pool, clock, endpoint)
        self._config = config
        self._dialect = dialect
        self._path = dialect.path(config)
        self._headers = request_headers(config, dialect, auth, JSON_TYPE)

    @override
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        config, head, body = self._config, Noted(), b""
        try:
            sent = self._exchanges.check_size(self._dialect.encode(request, config))
            body = await self._exchanges.fetched(
                WireRequest(self._path, self._headers, sent, None, request.bound), head
            )
            read = self._dialect.decode(body, config)
            results = best(read.results, request)
            self._exchanges.check_bound(request.bound, len(body))
        except LoomError as error:
            body = b""
            conceal(error, (request.query, *request.documents))
            self._exchanges.locate(error, head, "body")
            # The frames below hold the body, which may echo the key.
            raise error.with_traceback(None) from None
        return RerankResponse(
            results,
            provider=config.name,
            model=label(read.model, config) if read.model else config.model,
            usage=read.usage,
            cost=charge(config, read.usage),
            request_id=head.request_id,
            rate_limits=head.rate_limits,
        )

    @override
    def __repr__(self) -> str:
        replay = "" if self._config.replay is None else ", replay"
        return f"{type(self._dialect).__name__}({self._config.target}{replay})"
