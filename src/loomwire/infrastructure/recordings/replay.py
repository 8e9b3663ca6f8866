"""A connection pool that answers from recordings: no socket, no waiting, and every rule of the wire in force."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from loomwire.domain.errors import LLMError, LLMValidationError, llm_error
from loomwire.domain.policies import KIB, TransportPolicy, WireLimits
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import ConnectionLease, IConnectionPool, PoolStats, WireAnswer, WireRequest
from loomwire.domain.requests import Bound
from loomwire.infrastructure.recordings.book import Book
from loomwire.infrastructure.recordings.exchange import Answered

_PIECE: Final = 64 * KIB
_REPLAYED_CUTS: Final = frozenset({"eof", "idle", "protocol", "reset"})


@dataclass(frozen=True, slots=True)
class Cutting:
    """Into which pieces a body is cut when it is read piece by piece.

    Args:
        chunk_bytes: Most bytes of a piece, 1 to 65,536.
        seed: Makes the pieces random, from 1 byte up, and the same in every run; None makes them equal.

    Raises:
        LLMValidationError: `chunk_bytes` is out of its range.
    """

    chunk_bytes: int = _PIECE
    seed: int | None = None

    def __post_init__(self) -> None:
        """Refuse pieces that no transport would deliver."""
        if not 1 <= self.chunk_bytes <= _PIECE:
            raise LLMValidationError(f"chunk_bytes must be 1 to {_PIECE}, not {self.chunk_bytes}")

    def pieces(self, body: bytes) -> Iterator[bytes]:
        """Yield the body in pieces."""
        chance = None if self.seed is None else random.Random(self.seed)
        at = 0
        while at < len(body):
            size = self.chunk_bytes if chance is None else chance.randint(1, self.chunk_bytes)
            yield body[at : at + size]
            at += size


class Watch:
    """Knows whether a request's bound has passed.

    Args:
        bound: The bound, or None.
        clock: Whose instants bounds are; without one, bounds are left to the layers above.
    """

    __slots__ = ("_bound", "_clock")

    def __init__(self, bound: Bound | None, clock: IClock | None) -> None:
        """Look at no clock yet."""
        self._bound = bound
        self._clock = clock

    def check(self) -> None:
        """Raise what the bound stands for if it has passed."""
        if self._bound is not None and self._clock is not None and self._clock.now() > self._bound.at:
            raise llm_error(self._bound.reason, f"the {self._bound.reason} ended before the recorded answer did")


class ReplayAnswer(WireAnswer):
    """A recorded answer. Belongs to one task at a time; caps, bounds and a recorded break hold as on the network.

    Args:
        answered: The recording.
        limits: What may be read of it.
        cutting: Its pieces.
        watch: The request's bound.
    """

    __slots__ = ("_answered", "_closed", "_limits", "_pieces", "_watch")

    def __init__(self, answered: Answered, limits: WireLimits, cutting: Cutting, watch: Watch) -> None:
        """Read nothing yet."""
        self._answered = answered
        self._limits = limits
        self._pieces = cutting.pieces(answered.body)
        self._watch = watch
        self._closed = False

    @property
    @override
    def status(self) -> int:
        return self._answered.status

    @property
    @override
    def headers(self) -> Mapping[str, str]:
        return self._answered.headers

    @override
    async def read(self) -> bytes:
        broken = self.status >= 300
        cap = self._limits.error_body if broken else self._limits.body
        pieces: list[bytes] = []
        left = cap
        async for piece in _Pieces(self):
            left -= len(piece)
            if left < 0 and not broken:
                raise self.refused("the answer", cap, "limits.body")
            pieces.append(piece if left >= 0 else piece[:left])
            if left < 0:
                break
        self.close()
        return b"".join(pieces)

    @override
    def chunks(self) -> AsyncIterator[bytes]:
        return _Pieces(self, self._limits.stream)

    @override
    def close(self) -> None:
        self._closed = True

    def refused(self, what: str, cap: int, limit: str) -> LLMError:
        """Close the answer and return the error for one that is larger than `limit` allows; not raised."""
        self.close()
        message = f"{what} is larger than {cap} bytes ({limit})"
        return llm_error("too_large", message, status=self.status, phase="body")

    async def piece(self) -> bytes:
        """Return the next piece, or nothing at the end.

        Raises:
            LLMError: The recorded answer breaks off here, the bound has passed, or the answer was closed.
        """
        # The loop gets its turn, so that others run and a cancellation arrives, as between two reads of a socket.
        await asyncio.sleep(0)
        if self._closed:
            raise llm_error("reset", "the answer is closed", status=self.status, phase="body")
        self._watch.check()
        piece = next(self._pieces, b"")
        cut = self._answered.cut
        if not piece and cut is not None:
            reason = cut if cut in _REPLAYED_CUTS else "eof"
            raise llm_error(reason, "the recorded answer breaks off here", status=self.status, phase="body")
        return piece


class _Pieces(AsyncIterator[bytes]):
    """A body piece by piece; an object and no generator, so that a stream that is left leaves nothing to finish."""

    __slots__ = ("_answer", "_cap", "_left")

    def __init__(self, answer: ReplayAnswer, cap: int | None = None) -> None:
        self._answer = answer
        self._cap = cap
        self._left = cap or 0

    @override
    async def __anext__(self) -> bytes:
        piece = await self._answer.piece()
        if not piece:
            raise StopAsyncIteration
        self._left -= len(piece)
        if self._cap is not None and self._left < 0:
            raise self._answer.refused("the stream", self._cap, "limits.stream")
        return piece


class Player:
    """Answers requests from a book as the network would: not after the bound, and none that is too large.

    Args:
        book: The recordings.
        clock: Whose instants bounds are; without one, bounds are left to the layers above.
        cutting: Into which pieces bodies are cut.
    """

    __slots__ = ("_book", "_clock", "_cutting", "played")

    def __init__(self, book: Book, clock: IClock | None, cutting: Cutting) -> None:
        """Answer nothing yet."""
        self._book = book
        self._clock = clock
        self._cutting = cutting
        self.played = 0

    @property
    def book(self) -> Book:
        """The recordings."""
        return self._book

    async def answer(self, request: WireRequest, base_url: str, limits: WireLimits) -> ReplayAnswer | None:
        """Return the next recorded answer to a request, or None when there is no recording of it.

        Raises:
            LLMError: reasons no_recording (all were used), request_too_large, and what the request's bound stands for.
        """
        if len(request.body) > limits.request:
            message = f"the request body has {len(request.body)} bytes, more than {limits.request} (limits.request)"
            raise llm_error("request_too_large", message, phase="connect")
        watch = Watch(request.bound, self._clock)
        watch.check()
        answered = self._book.answer(request, base_url)
        if answered is None:
            return None
        self.played += 1
        await asyncio.sleep(0)
        return ReplayAnswer(answered, limits, self._cutting, watch)


class ReplayPool(IConnectionPool):
    """Answers from a book, whatever host it is asked for. Holds nothing of any event loop.

    Args:
        book: The recordings.
        clock: Whose instants bounds are; without one, bounds are left to the layers above.
        cutting: Into which pieces streams are cut.
    """

    __slots__ = ("_closed", "_player")

    def __init__(self, book: Book, clock: IClock | None = None, cutting: Cutting = Cutting()) -> None:
        """Answer nothing yet."""
        self._player = Player(book, clock, cutting)
        self._closed = False

    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = TransportPolicy(), bound: Bound | None = None
    ) -> ConnectionLease:
        if self._closed:
            raise llm_error("closed", "the connection pool is closed")
        return _ReplayLease(self._player, base_url, policy.limits)

    @override
    def release(self, lease: ConnectionLease) -> None:
        return

    @override
    def get_stats(self) -> PoolStats:
        return PoolStats(total=self._player.played, successful=self._player.played)

    @override
    async def aclose(self) -> None:
        self._closed = True


class _ReplayLease(ConnectionLease):
    __slots__ = ("_base_url", "_limits", "_player")

    def __init__(self, player: Player, base_url: str, limits: WireLimits) -> None:
        self._player = player
        self._base_url = base_url
        self._limits = limits

    @property
    @override
    def base_url(self) -> str:
        return self._base_url

    @override
    async def send(self, request: WireRequest) -> WireAnswer:
        answer = await self._player.answer(request, self._base_url, self._limits)
        if answer is None:
            raise self._player.book.missing(request, self._base_url)
        return answer
