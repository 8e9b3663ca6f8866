"""A provider on this machine: a real HTTP server on a free loopback port that says what a test tells it to."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Self, final

from typing_extensions import override

from loomwire.testing.server.connection import Connection
from loomwire.testing.server.queued import Queued, wire_reply
from loomwire.testing.server.traffic import Traffic, TrafficStats
from loomwire.testing.speakers.openai_chat import chat_error
from loomwire.testing.speakers.table import speaker_for
from loomwire.testing.wire import Piece, ReceivedRequest

_HOST: Final = "127.0.0.1"
_HANDSHAKE_S: Final = 5.0


@final
class FakeProvider:
    """An HTTP server on 127.0.0.1 that speaks OpenAI chat completions, plain and streamed, over real sockets.

    Each request takes the next queued reply, whatever its path. When the queue is empty, requests to
    `/chat/completions` get `then`, others 404. Keep-alive, pipelining and TLS work; nothing outlives the
    `async with` block, however a reply hangs. Use it from the loop that entered it.

    Args:
        *replies: What to play, in order, see `Queued`.
        then: What to play when the queue is empty.
        tls: A server's SSL context, or None for plain HTTP.
        keep: How many requests `requests` remembers; the counts in `stats` go on.

    Raises:
        Exception: On leaving, the first error that a callable or an iterable of the test raised inside the server.

    Example:
        >>> import httpx
        >>> async def main() -> str:
        ...     async with FakeProvider("Hello.") as provider, httpx.AsyncClient() as http:
        ...         url = provider.base_url + "/chat/completions"
        ...         answer = await http.post(url, json={"model": "m", "messages": []})
        ...         return answer.json()["choices"][0]["message"]["content"]
        >>> asyncio.run(main())
        'Hello.'
    """

    def __init__(
        self,
        *replies: Queued,
        then: Queued = "Hello from the loopback provider.",
        tls: ssl.SSLContext | None = None,
        keep: int = 10_000,
    ) -> None:
        """Queue the replies; nothing listens yet."""
        self._queue = deque(map(wire_reply, replies))
        self._then = wire_reply(then)
        self._tls = tls
        self._traffic = Traffic(keep)
        self._server: asyncio.Server | None = None
        self._port = 0

    @override
    def __repr__(self) -> str:
        return f"FakeProvider({self.base_url})"

    @property
    def base_url(self) -> str:
        """What a client is configured with, `/v1` included. The port is 0 before the server was started."""
        return f"{'http' if self._tls is None else 'https'}://{_HOST}:{self._port}/v1"

    @property
    def port(self) -> int:
        """The port; after the server was stopped, the one it had, where nothing listens any more."""
        return self._port

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """The requests so far, oldest first, as far as they are remembered."""
        return tuple(self._traffic.requests)

    @property
    def stats(self) -> TrafficStats:
        """What happened so far, as a value that does not change."""
        return self._traffic.stats

    def queue(self, *replies: Queued) -> None:
        """Line up further replies."""
        self._queue.extend(map(wire_reply, replies))

    async def until(self, condition: Callable[[TrafficStats], bool], within_s: float = 5.0) -> TrafficStats:
        """Wait until the statistics fulfil a condition, and return them.

        Raises:
            TimeoutError: They did not within `within_s` seconds; the message shows them.
        """
        try:
            async with asyncio.timeout(within_s):
                while not condition(self.stats):
                    await self._traffic.change()
        except TimeoutError:
            raise TimeoutError(f"after {within_s:g} s still {self.stats}") from None
        return self.stats

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._traffic, self._answer),
            _HOST,
            ssl=self._tls,
            backlog=1024,
            ssl_handshake_timeout=None if self._tls is None else _HANDSHAKE_S,
        )
        self._port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Stop, and report what the test's own replies did wrong unless something else is being raised."""
        await self.aclose()
        if kind is None and self._traffic.failures:
            raise self._traffic.failures[0]

    async def aclose(self) -> None:
        """Stop listening, break every connection and wait until all are gone. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        playing = [task for connection in tuple(self._traffic.connections) if (task := connection.abort()) is not None]
        await asyncio.gather(*playing, return_exceptions=True)
        while self._traffic.connections:
            await self._traffic.change()
        await server.wait_closed()

    def _answer(self, request: ReceivedRequest) -> Iterable[Piece]:
        if self._queue:
            return self._queue.popleft().pieces(request)
        if speaker_for(request.path) is not None:
            return self._then.pieces(request)
        return chat_error(404, "nothing here, and no reply is queued").whole()
