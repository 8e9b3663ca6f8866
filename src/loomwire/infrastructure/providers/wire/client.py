"""The client of every model behind a network: a dialect writes and reads, a connection pool carries."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LoomError
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import IConnectionPool, WireAnswer, WireRequest
from loomwire.domain.reports.context import Phase
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.dialect import Dialect
from loomwire.infrastructure.providers.wire.exchange.headers import JSON_TYPE, request_headers
from loomwire.infrastructure.providers.wire.exchange.unary import Exchanges, expect_media, is_json
from loomwire.infrastructure.providers.wire.stream import WireStream
from loomwire.infrastructure.providers.wire.words import conceal_prompt


class WireClient(ILLMClient):
    """Asks one model over the network. Everything that does not depend on the request is prepared when it is built.

    Retries, deadlines and first-token limits belong to the layers above; `request.bound` is passed to the transport.
    A server that answers a request for a stream with one JSON body is accepted: its whole answer is checked and comes
    as one burst of events. Any other content type is a protocol error, so that a proxy's page is never an answer.

    Args:
        config: The target, with a base URL.
        dialect: Writes and reads.
        pool: Carries.
        clock: For the short wait after a stream's end.
        auth: How the key is sent: bearer, none, or the name of a header.
        endpoint: What errors call the place; scheme, host and port.

    Attributes:
        config: The target.

    Raises:
        ConfigError: There is no base URL, or a header is not allowed.
    """

    __slots__ = ("_clock", "_dialect", "_exchanges", "_plain", "_pool", "_streaming", "config")

    def __init__(
        self,
        config: LLMConfig,
        dialect: Dialect,
        pool: IConnectionPool,
        clock: IClock,
        auth: str = "bearer",
        endpoint: str | None = None,
    ) -> None:
        """Prepare headers, path and policy; opens no connection."""
        self._exchanges = Exchanges(config, dialect, pool, clock, endpoint)
        self.config = config
        self._dialect = dialect
        self._pool = pool
        self._clock = clock
        self._plain = (dialect.path(config, stream=False), request_headers(config, dialect, auth, JSON_TYPE))
        self._streaming = (
            dialect.path(config, stream=True),
            request_headers(config, dialect, auth, dialect.stream_types[0]),
        )

    @override
    def __repr__(self) -> str:
        replay = "" if self.config.replay is None else ", replay"
        return f"{type(self._dialect).__name__}({self.config.target}{replay})"

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        answer = Answer(self.config)
        body = b""
        try:
            body = await self._exchanges.fetched(self._written(request, stream=False), answer)
            self._dialect.decode(body, answer)
            self._exchanges.check_bound(request.bound, len(body))
        except LoomError as error:
            body = b""
            self.locate(error, request, answer, "body")
            # The frames below hold the body, which may echo the key.
            raise error.with_traceback(None) from None
        return answer.result()

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return _Streaming(self, request)

    async def opened(self, request: LLMRequest, answer: Answer) -> WireStream:
        """Send a request and return its stream, whose first event has come. Whoever gets it closes it.

        Raises:
            LLMError: The provider refused, or answered with something that is no stream.
        """
        wire_request = self._written(request, stream=True)
        lease = await self._pool.acquire(self._exchanges.base_url, self._exchanges.policy, request.bound)
        release = partial(self._pool.release, lease)
        try:
            exchange = await lease.send(wire_request)
        except BaseException:
            release()
            raise
        tell = partial(self.locate, request=request, answer=answer, phase="stream_after_token")
        stream = WireStream(exchange, answer, self._dialect, self._clock, release, tell)
        try:
            await self._begun(stream, exchange, answer, request)
        except BaseException:
            stream.close()
            raise
        return stream

    def locate(self, error: LoomError, request: LLMRequest, answer: Answer, phase: Phase) -> None:
        """Tell an error where it happened, as far as it does not know, and take the prompt out of its words."""
        conceal_prompt(error, request)
        self._exchanges.locate(error, answer, phase)

    async def _begun(self, stream: WireStream, exchange: WireAnswer, answer: Answer, request: LLMRequest) -> None:
        media = await self._exchanges.checked(exchange, answer, request.bound)
        types = self._dialect.stream_types
        if media not in types and is_json(media):
            self._exchanges.check_bound(request.bound, await stream.begin_whole())
        else:
            expect_media(types, media)
            await stream.begin()

    def _written(self, request: LLMRequest, *, stream: bool) -> WireRequest:
        body = self._exchanges.check_size(self._dialect.encode(request, self.config, stream=stream))
        path, headers = self._streaming if stream else self._plain
        idle_s = self.config.timeouts.idle_s if stream else None
        asked = WireRequest(path, headers, body, idle_s, request.bound)
        return self._dialect.signed(asked, self._exchanges.base_url, self.config)


class _Streaming(AbstractAsyncContextManager[LLMStream]):
    """Sends on entering; entering waits for the first event that a caller can see."""

    __slots__ = ("_client", "_request", "_stream")

    def __init__(self, client: WireClient, request: LLMRequest) -> None:
        self._client = client
        self._request = request
        self._stream: WireStream | None = None

    @override
    async def __aenter__(self) -> LLMStream:
        client, request = self._client, self._request
        answer = Answer(client.config)
        try:
            self._stream = await client.opened(request, answer)
        except LoomError as error:
            if error.phase == "body":
                error.phase = "stream_before_token"
            client.locate(error, request, answer, "stream_before_token")
            raise error.with_traceback(None) from None
        return self._stream

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Never awaits: under double cancellation an exit that waits loses its connection.
        if self._stream is not None:
            self._stream.close()
