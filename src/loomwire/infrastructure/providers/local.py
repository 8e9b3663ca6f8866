"""The client of a model that this process serves itself: waits for the server, then asks it like any other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TypeAlias

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LoomError, llm_error
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.ports.clock import IClock
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import Secret
from loomwire.infrastructure.local.engine import Engine
from loomwire.infrastructure.local.server import LocalLease, LocalServer

MakeClient: TypeAlias = Callable[[Engine], ILLMClient]
"""Builds the client that speaks to a running server."""


class LocalClient(ILLMClient):
    """Asks a server of this process, which the first call starts; waiting for it ends with the request's bound.

    Args:
        config: The target.
        lease: Its share of the server.
        clock: Whose instants bounds are.
        make: Builds the client behind it, once for each start of the server.
    """

    def __init__(self, config: LLMConfig, lease: LocalLease, clock: IClock, make: MakeClient) -> None:
        """Start nothing yet."""
        self.config = config
        self._lease = lease
        self._clock = clock
        self._make = make
        self._wire: tuple[Secret, ILLMClient] | None = None

    @override
    def __repr__(self) -> str:
        return f"Local({self.config.target})"

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        server = self._server()
        client = await self.ready(server, request)
        try:
            return await client.generate(request)
        finally:
            server.end()

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return _Streaming(self, self._server(), request)

    async def ready(self, server: LocalServer, request: LLMRequest) -> ILLMClient:
        """Return the client of the running server; whoever gets it calls `server.end`.

        Raises:
            LLMError: The model cannot be served, or the request's bound passed while it was loading.
        """
        try:
            engine = await server.begin(self._clock, request.bound)
        except LoomError as error:
            error.located(self.config.name, self.config.model)
            raise
        known = self._wire
        if known is None or known[0] is not engine.key:
            try:
                known = self._wire = (engine.key, self._make(engine))
            except BaseException:
                server.end()
                raise
        return known[1]

    def _server(self) -> LocalServer:
        if self._lease.closed:
            raise llm_error("closed", "the container of this model is closed")
        return self._lease.server


class _Streaming(AbstractAsyncContextManager[LLMStream]):
    """Enters the stream of the client behind, once that is there; counts the call until it is left."""

    __slots__ = ("_client", "_inner", "_request", "_server")

    def __init__(self, client: LocalClient, server: LocalServer, request: LLMRequest) -> None:
        self._client = client
        self._server = server
        self._request = request
        self._inner: AbstractAsyncContextManager[LLMStream] | None = None

    @override
    async def __aenter__(self) -> LLMStream:
        client = await self._client.ready(self._server, self._request)
        inner = client.stream(self._request)
        try:
            stream = await inner.__aenter__()
        except BaseException:
            self._server.end()
            raise
        self._inner = inner
        return stream

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        inner, self._inner = self._inner, None
        if inner is None:
            return
        try:
            await inner.__aexit__(kind, error, trace)
        finally:
            self._server.end()
