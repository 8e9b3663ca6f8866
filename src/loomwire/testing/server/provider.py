"""A provider on this machine: a real HTTP server on a free loopback port that says what a test tells it to."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias, final

from typing_extensions import override

from loomwire.domain.values import JSON
from loomwire.infrastructure.control.listening import stop_listening
from loomwire.testing.certificates import TLS_FAULTS, Identity, Tls, identity
from loomwire.testing.pacing import Pace
from loomwire.testing.queued import Queued, wire_reply
from loomwire.testing.script.reading import read_script, script_from
from loomwire.testing.script.world import Script, World
from loomwire.testing.server.aborting import Aborting
from loomwire.testing.server.books import Books
from loomwire.testing.server.connection import Connection
from loomwire.testing.server.traffic import Traffic, TrafficStats
from loomwire.testing.speakers.table import speaker_for
from loomwire.testing.wire import HttpReply, Piece, ReceivedRequest

_LOCAL: Final = ("127.0.0.1", 0)
_HANDSHAKE_S: Final = 5.0

ScriptSource: TypeAlias = str | Path | Mapping[str, JSON] | Script
"""A YAML file, or what stands in one."""


@final
class FakeProvider:
    """An HTTP server on this machine that speaks OpenAI chat completions, plain and streamed, over real sockets.

    Each request takes the next queued reply, whatever its path, but `HEAD` gets 405. When the queue is empty the
    script decides; without one, requests to `/chat/completions` get `then`, `GET /models` a list, others 404.
    Requests for embeddings and ranks, in the wording of any dialect, get `hashed_vector` of each text and `word_ranks`,
    with the failure, delay and usage of the reply. Keep-alive, pipelining, chunked requests and TLS work; nothing
    outlives the `async with` block, however a reply hangs. Use it from the loop that entered it; any number may run in
    one loop. A second origin, `elsewhere_url`,
    gives the same answers, for tests of redirects.

    A script is YAML, all keys optional::

        version: 1
        seed: 7                      # of `chance`, of the choice among faults, of the pace's jitter
        pace: {first_token_s: 0.05, tokens_per_s: 200, jitter: 0.2}
        tls: expired                 # true, false, expired, wrong_host or aborts
        models: [gpt-5-mini]         # others get 404 model_not_found; GET /models lists them
        api_key: test-key            # other keys get 401
        replies:                     # in order when no rule decides; the last repeats
          - {text: "Hello."}
        rules:                       # the first that decides
          - {path: "*/chat/completions", model: "gpt-*", stream: true, requests: "1-3,7", error: throttled}
          - {chance: 0.3, fault: [cut_reset, hang, stall]}
          - {every: 10, status: 503, retry_after: "NaN"}
          - {requests: "5-", text: "From now on this.", delay_s: 0.2}

    Replies are described as for the provider type `mock` (`text`, `tool_calls`, `reasoning`, `finish`, `usage`,
    `delay_s`, `cut_after`; or `error` with `message`, `status`, `retry_after`); or `status` alone, or `fault` with a
    name of `FAULTS`. A rule counts all requests whose path, model and streaming fit, also those that another rule
    decides; `requests`, `every` and `chance` look at its own count. Faults of streams never happen to plain answers.

    Args:
        *replies: What to play, in order, see `Queued`.
        then: What to play when the queue is empty and the script has no `replies`.
        script: The file, read on entering, or the same as a mapping.
        tls: How the server shows itself; None leaves it to the script, or is plain HTTP. Needs `loomwire[testing]`,
            unless it is a context of yours.
        pace: How fast replies are said; it replaces the script's. What a test writes for the wire itself is played
            as it is.
        keep: How many requests `requests` remembers; `stats` and `books` go on.
        address: Host and port to listen on; port 0 takes a free one.
        speakers: Speakers of dialects that are not loomwire's, each as `module:Class`; asked before ours.

    Raises:
        ConfigError: On entering: the script cannot be read, or trustme is not installed.
        ConfigRejectedError: On entering: the script has problems; all are listed.
        OSError: On entering: the port is taken.
        TypeError: One of the replies is none.
        ValueError: `tls` is another word.
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
        script: ScriptSource | None = None,
        tls: Tls | None = None,
        pace: Pace | None = None,
        keep: int = 10_000,
        address: tuple[str, int] = _LOCAL,
        speakers: Sequence[str] = (),
    ) -> None:
        """Queue the replies; nothing is read and nothing listens yet."""
        if isinstance(tls, str) and tls not in TLS_FAULTS:
            raise ValueError(f"tls must be true, false, a context, {', '.join(TLS_FAULTS)}, not {tls!r}")
        self._queue = deque(map(wire_reply, replies))
        self._then = wire_reply(then)
        self._scripted: ScriptSource = Script() if script is None else script
        self._world = World(Script(), self._then)
        self._tls: Tls = False if tls is None else tls
        self._leaves_tls = tls is None
        self._pace = pace
        self._address = address
        self._speakers = tuple(speakers)
        self._traffic = Traffic(keep)
        self._servers: tuple[asyncio.Server, ...] = ()
        self._ports = (address[1], 0)
        self._elsewhere = ("", "")
        self._identity: Identity | None = None

    @override
    def __repr__(self) -> str:
        return f"FakeProvider({self.base_url})"

    @property
    def base_url(self) -> str:
        """What a client is configured with, `/v1` included. The port is 0 before the server was started."""
        return self._url(1)

    @property
    def elsewhere_url(self) -> str:
        """Base URL of the second origin: another port, the same answers; its requests have `origin == 2`."""
        return self._url(2)

    @property
    def port(self) -> int:
        """The port; after the server was stopped, the one it had, where nothing listens any more."""
        return self._ports[0]

    @property
    def trusted(self) -> ssl.SSLContext:
        """A client's context that trusts the server's throw-away authority and no other.

        Raises:
            RuntimeError: There is none: the server is not entered, speaks plain HTTP, or has a context of yours.
        """
        return self._shown_identity().trusted

    @property
    def authority(self) -> bytes:
        """The throw-away authority's certificate in PEM, for clients in other processes, such as `SSL_CERT_FILE`.

        Raises:
            RuntimeError: As for `trusted`.
        """
        return self._shown_identity().authority

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """The log: the requests so far, oldest first, as far as they are remembered."""
        return tuple(self._traffic.requests)

    @property
    def stats(self) -> TrafficStats:
        """What happened so far, as a value that does not change."""
        return self._traffic.stats

    @property
    def books(self) -> Books:
        """What the server would bill so far, as a value that does not change.

        A request is booked when its answer has ended. Refused ones, and those whose fault struck before the model ran,
        cost nothing. A stream that the client left, or whose connection a fault broke, bills its input, and of its
        output the share of bytes that were handed to the connection, rounded up. A plain answer was produced before it
        was sent, and a stream that ends properly as HTTP was, as far as the server knows, said: both bill in full.
        """
        return self._traffic.keeper.books

    @property
    def faults(self) -> Mapping[str, int]:
        """How often which fault was played."""
        return dict(self._traffic.faults)

    def queue(self, *replies: Queued) -> None:
        """Line up further replies."""
        self._queue.extend(map(wire_reply, replies))

    def listen(self, listener: Callable[[ReceivedRequest], None]) -> None:
        """Have somebody told of every request when its answer has ended; called in the loop, must not raise."""
        self._traffic.listeners.append(listener)

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
        """Read the script, make a certificate, and listen on both origins."""
        if self._servers:
            raise RuntimeError("this provider is already running; one more needs an object of its own")
        script = await self._read()
        self._world = World(script, self._then)
        self._traffic.is_over = False
        self._pace = self._pace or script.pace
        if self._leaves_tls:
            self._tls = script.tls
        context = await self._context()
        host, port = self._address
        first = await self._served(1, (host, port), context)
        try:
            second = await self._served(2, (host, 0), context)
        except BaseException:
            first.close()
            raise
        self._servers = (first, second)
        self._ports = _port(first), _port(second)
        self._elsewhere = (self._url(2), self._url(1))
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
        servers, self._servers = self._servers, ()
        if not servers:
            return
        await stop_listening(*servers)
        # A handshake may end later, and finds nobody.
        self._traffic.is_over = True
        playing = [task for connection in tuple(self._traffic.connections) if (task := connection.abort()) is not None]
        await asyncio.gather(*playing, return_exceptions=True)
        while self._traffic.connections:
            await self._traffic.change()
        for server in servers:
            await server.wait_closed()

    def _shown_identity(self) -> Identity:
        if self._identity is None:
            raise RuntimeError("only a server that was entered with a throw-away certificate knows who trusts it")
        return self._identity

    async def _read(self) -> Script:
        scripted = self._scripted
        if isinstance(scripted, Script):
            return scripted
        if isinstance(scripted, Mapping):
            return script_from(scripted)
        return await asyncio.to_thread(read_script, scripted)

    async def _context(self) -> ssl.SSLContext | None:
        tls = self._tls
        if isinstance(tls, ssl.SSLContext):
            return tls
        if tls is False:
            return None
        self._identity = await asyncio.to_thread(identity, tls, self._address[0])
        return None if tls == "aborts" else self._identity.shown

    async def _served(self, origin: int, address: tuple[str, int], context: ssl.SSLContext | None) -> asyncio.Server:
        def connection() -> asyncio.Protocol:
            """Return what serves a connection just opened."""
            if self._tls == "aborts":
                return Aborting(self._traffic)
            return Connection(self._traffic, self._answer, origin)

        server = await asyncio.get_running_loop().create_server(
            connection,
            *address,
            ssl=context,
            backlog=1024,
            ssl_handshake_timeout=None if context is None else _HANDSHAKE_S,
            start_serving=False,
        )
        try:
            await server.start_serving()  # it pauses after it listens, so it may be cancelled
        except BaseException:
            server.close()
            raise
        return server

    def _url(self, origin: int) -> str:
        scheme = "http" if self._tls is False else "https"
        host = self._address[0]
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self._ports[origin - 1]}/v1"

    def _answer(self, request: ReceivedRequest) -> Iterable[Piece]:
        if request.method == "HEAD":
            # Any other answer may have a body, which a client would take for the beginning of the next answer.
            return HttpReply(405, headers={"allow": "GET, POST"}).pieces(request)
        request.speakers = self._speakers
        speaker = speaker_for(request.path, self._speakers)
        if speaker is not None:
            request.asked = speaker.asks(request.path, request.body)
        request.elsewhere = self._elsewhere[request.origin - 1]
        request.pace = self._pace
        reply = self._queue.popleft() if self._queue else self._world.reply(request)
        return reply.pieces(request)


def _port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])
