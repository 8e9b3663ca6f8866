"""The connection pool that records what goes over the wire, and plays it again without one."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias, final

from typing_extensions import override

from loomwire.domain.errors import LLMValidationError, llm_error
from loomwire.domain.policies import MIB, TransportPolicy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import ConnectionLease, IConnectionPool, PoolStats, WireAnswer, WireRequest
from loomwire.domain.requests import Bound
from loomwire.infrastructure.recordings.book import Book
from loomwire.infrastructure.recordings.capture import Captured, CapturedAnswer
from loomwire.infrastructure.recordings.folder import Stored, read_any, read_folder
from loomwire.infrastructure.recordings.replay import Cutting, Player
from loomwire.infrastructure.recordings.writer import RecordingWriter
from loomwire.infrastructure.transport.deferred import DeferredPool

RecorderMode: TypeAlias = Literal["replay", "record", "auto"]
"""replay: never the network. record: always the network. auto: the network for what there is no recording of."""

MAX_RECORDED: Final = 32 * MIB
"""Bytes of a response from which it is not recorded, unless the recorder is told otherwise."""

_LOG = logging.getLogger("loomwire.recorder")
_MODES: Final = ("replay", "record", "auto")


@final
class Recorder(IConnectionPool):
    """Records the exchanges with providers into a folder, and answers from it: tests without network, key and cost.

    Give it to a container in place of the connections: `overrides={"connection_pool": Recorder("recordings")}`. All
    above the connection runs for real: dialects, streams, types, limits, deadlines. By default it replays, so nothing
    is ever recorded by accident: recording must be asked for in code, and no configuration can ask for it.

    WARNING: a recording holds the prompts and the answers, in full, in plain text. That is what it is. Keys are taken
    out: of the request's headers only content type, accept and API versions are written, of the response's only
    content type, retry, rate limit and request id; the values of all other request headers (from 8 characters on, of
    keys and tokens from 4 unless all are letters, as in `test`) are replaced by `REDACTED` wherever they stand in URL,
    bodies and the kept headers, also within base64. A key that a server cuts in two, in two events of a stream, is not
    found. Read the files before you publish them.

    A request is answered by the recordings with the same method, path, query and JSON body, whatever the host, the
    headers and the key. Equal requests get their answers in the order in which they were recorded; then the last one
    repeats, so that a workflow can run again, or with `repeat=False` it is an error. A request without a recording
    raises `LLMError` with the reason `no_recording`, which names the nearest recording and the JSON paths that differ.

    Recorded is what a caller read, while it reads it. A body that is left or breaks is recorded as far as it came and
    breaks there again in a replay. Requests that got no response at all (refused, reset, timeout, cancelled) raise as
    always and are not recorded: `FakeProvider` plays those. Files are written by a thread, and all are there after
    `aclose()`, which the container calls when it is closed; use one recorder per container, and at most one that
    records per folder. With mode `record`, an equal request takes over the file it had; after a replay,
    `unused()` names what nobody asks for any more.

    Safe for several threads and event loops. A child that is forked while a recorder is at work does not record.

    Args:
        folder: Where the recordings are; made by recording.
        mode: `replay`, `record` or `auto`.
        pool: What to record; None opens real connections. Never used by a replay.
        repeat: Whether the last recorded answer repeats.
        cutting: Into which pieces replayed bodies are cut, such as `Cutting(7, seed=1)`.
        limit_bytes: A larger response is not recorded; the first time a warning is logged.
        clock: Whose instants bounds are. None leaves deadlines to the layers above, which keep them.

    Raises:
        LLMValidationError: `mode` or `limit_bytes` is out of its range.

    Example:
        >>> from loomwire import LLMContainer
        >>> def opened(config: str) -> LLMContainer:
        ...     return LLMContainer.open(config, overrides={"connection_pool": Recorder("tests/recordings")})
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        mode: RecorderMode = "replay",
        *,
        pool: IConnectionPool | None = None,
        repeat: bool = True,
        cutting: Cutting = Cutting(),
        limit_bytes: int = MAX_RECORDED,
        clock: IClock | None = None,
    ) -> None:
        """Read nothing yet: the first request does, or entering the recorder."""
        if mode not in _MODES:
            raise LLMValidationError(f"Recorder: mode must be {', '.join(_MODES)}", hint="`replay` is the default.")
        if limit_bytes < 0:
            raise LLMValidationError("Recorder: limit_bytes must not be negative")
        self._folder = Path(folder)
        self._mode = mode
        self._inner = (pool or DeferredPool(clock)) if mode != "replay" else None
        self._repeat = repeat
        self._cutting = cutting
        self._limit = limit_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._player: Player | None = None
        self._writer: RecordingWriter | None = None
        self._skipped = 0
        self._closed = False

    @override
    def __repr__(self) -> str:
        return f"Recorder({self._folder.name!r}, {self._mode!r})"

    async def __aenter__(self) -> Self:
        """Read the folder.

        Raises:
            ConfigError: reason recordings: it cannot be read, or a replay finds nothing in it.
        """
        await self._ready()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.aclose()

    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = TransportPolicy(), bound: Bound | None = None
    ) -> ConnectionLease:
        if self._closed:
            raise llm_error("closed", "the recorder is closed")
        lease = _RecorderLease(self, self._player or await self._ready(), base_url, policy, bound)
        if self._mode == "record":
            # Here, so that a wait in line is where it would be without a recorder.
            await lease.connect()
        return lease

    @override
    def release(self, lease: ConnectionLease) -> None:
        if isinstance(lease, _RecorderLease):
            lease.release()

    @override
    def get_stats(self) -> PoolStats:
        stats = PoolStats() if self._inner is None else self._inner.get_stats()
        played = 0 if self._player is None else self._player.played
        return replace(stats, total=stats.total + played, successful=stats.successful + played)

    @override
    async def aclose(self) -> None:
        """Write what is left and close the connections. Idempotent.

        Raises:
            ConfigError: reason recordings: something could not be written.
        """
        self._closed = True
        try:
            if self._inner is not None:
                await self._inner.aclose()
        finally:
            await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Write what is left, from synchronous code; connections close with their loops. Idempotent; blocks.

        A container that is closed by `close()` inside a running event loop leaves this to its host.

        Raises:
            ConfigError: reason recordings: something could not be written.
        """
        self._closed = True
        if self._writer is not None:
            self._writer.close()

    def unused(self) -> tuple[str, ...]:
        """Return the file names of the recordings that answered nothing so far, in order. Blocks if nobody read them.

        Raises:
            ConfigError: reason recordings.
        """
        return (self._player or self._read()).book.unused()

    @property
    def skipped(self) -> int:
        """How many responses were not recorded because they were larger than `limit_bytes`."""
        return self._skipped

    async def answered(
        self, player: Player, request: WireRequest, base_url: str, policy: TransportPolicy
    ) -> WireAnswer | None:
        """Return the recorded answer, or None when the network is to be asked.

        Raises:
            LLMError: reason no_recording, and what a replay can fail with.
        """
        if self._mode == "record":
            return None
        answer = await player.answer(request, base_url, policy.limits)
        if answer is None and self._mode == "replay":
            raise player.book.missing(request, base_url)
        return answer

    def captured(self, answer: WireAnswer, request: WireRequest, base_url: str) -> WireAnswer:
        """Return an answer that is recorded while it is read."""
        return CapturedAnswer(answer, request, base_url, self._keep, self._limit)

    @property
    def network(self) -> IConnectionPool:
        """What is recorded.

        Raises:
            LLMError: A replay has no network.
        """
        if self._inner is None:
            raise llm_error("no_recording", "a replay never asks the network")
        return self._inner

    def _keep(self, captured: Captured) -> None:
        if captured.body is None:
            self._skipped += 1
            if self._skipped == 1:
                _LOG.warning("a response of more than %d bytes is not recorded", self._limit)
        elif self._writer is not None:
            self._writer.put(captured)

    async def _ready(self) -> Player:
        return await asyncio.to_thread(self._read)

    def _read(self) -> Player:
        with self._lock:
            if self._player is None:
                reading: Callable[[Path], tuple[Stored, ...]] = read_folder if self._mode == "replay" else read_any
                stored = reading(self._folder)
                if self._mode != "replay":
                    # On this thread: the first request would otherwise stop its loop for the import of aiohttp.
                    importlib.import_module("loomwire.infrastructure.transport.pool")
                    self._writer = RecordingWriter(self._folder, stored)
                self._player = Player(Book(self._folder, stored, repeat=self._repeat), self._clock, self._cutting)
            return self._player


class _RecorderLease(ConnectionLease):
    """Takes a real lease only when a request has to go over the network."""

    __slots__ = ("_base_url", "_bound", "_network", "_player", "_policy", "_recorder", "_sent")

    def __init__(
        self, recorder: Recorder, player: Player, base_url: str, policy: TransportPolicy, bound: Bound | None
    ) -> None:
        self._recorder = recorder
        self._player = player
        self._base_url = base_url
        self._policy = policy
        self._bound = bound
        self._network: ConnectionLease | None = None
        self._sent: WireAnswer | None = None

    @property
    @override
    def base_url(self) -> str:
        return self._base_url

    @override
    async def send(self, request: WireRequest) -> WireAnswer:
        recorder = self._recorder
        played = await recorder.answered(self._player, request, self._base_url, self._policy)
        if played is not None:
            return played
        answer = await (self._network or await self.connect()).send(request)
        self._sent = recorder.captured(answer, request, self._base_url)
        return self._sent

    async def connect(self) -> ConnectionLease:
        """Take the real lease."""
        self._network = await self._recorder.network.acquire(self._base_url, self._policy, self._bound)
        return self._network

    def release(self) -> None:
        """Give the real lease back, if there is one. Idempotent."""
        sent, self._sent = self._sent, None
        if sent is not None:
            sent.close()
        network, self._network = self._network, None
        if network is not None:
            self._recorder.network.release(network)
