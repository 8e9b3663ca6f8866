"""Content codings, undone while the bytes come: bounded pieces, bounded growth, no bomb."""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Protocol

from loomwire.domain.policies import MIB, WireLimits
from loomwire.infrastructure.transport.failures import Failed

PIECE = 64 * 1024

_GZIP_MAGIC = b"\x1f\x8b"
_MAX_MEMBERS = 64


class _Unpacker(Protocol):
    """What `zlib.decompressobj` returns; its own class has no public name."""

    @property
    @abstractmethod
    def eof(self) -> bool:
        """Whether the end of the compressed data was reached."""

    @property
    @abstractmethod
    def unconsumed_tail(self) -> bytes:
        """What was not looked at because the output was full."""

    @property
    @abstractmethod
    def unused_data(self) -> bytes:
        """What came after the end."""

    @abstractmethod
    def copy(self) -> _Unpacker:
        """Return another one that has read as much."""

    @abstractmethod
    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return at most `max_length` bytes of what `data` stands for."""


class _Inflate:
    """One coding of one answer."""

    __slots__ = ("_begun", "_coming", "_gone", "_gzip", "_head", "_inflate", "_members", "_ratio")

    def __init__(self, *, gzip: bool, ratio: int) -> None:
        self._gzip = gzip
        self._ratio = ratio
        self._inflate: _Unpacker | None = zlib.decompressobj(zlib.MAX_WBITS | 16) if gzip else None
        self._head = b""
        self._begun = False
        self._members = 1
        self._coming = 0
        self._gone = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Deliver what `data` gives, piece by piece."""
        self._begun = self._begun or bool(data)
        self._coming += len(data)
        if self._inflate is None:
            data = self._sniffed(data)
        while self._inflate is not None and data:
            inflate = self._inflate
            before = inflate.copy()
            try:
                piece = inflate.decompress(data, PIECE)
            except zlib.error:
                yield from _before_damage(before, data)
                raise Failed("protocol", "the compressed answer is damaged") from None
            data = self._next_member(inflate.unused_data) if inflate.eof else inflate.unconsumed_tail
            if piece:
                self._count(len(piece), self._coming - len(data))
                yield piece

    def finish(self) -> None:
        """Check that the coding came to its end."""
        if self._begun and not (self._inflate is not None and self._inflate.eof):
            raise Failed("eof", "the compressed answer is cut")

    def _sniffed(self, data: bytes) -> bytes:
        # "deflate" means zlib by the standard and a raw stream by habit; the first two bytes tell them apart.
        data = self._head + data
        if len(data) < 2:
            self._head = data
            return b""
        wrapped = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2]) % 31 == 0
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        return data

    def _next_member(self, rest: bytes) -> bytes:
        if not self._gzip or not rest.startswith(_GZIP_MAGIC):
            return b""
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise Failed("too_large", f"the answer has more than {_MAX_MEMBERS} gzip members")
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        return rest

    def _count(self, size: int, consumed: int) -> None:
        self._gone += size
        if self._gone > MIB and self._gone > self._ratio * consumed:
            raise Failed("too_large", f"the answer grows more than {self._ratio} times (limits.gzip_ratio)")


def _before_damage(inflate: _Unpacker, data: bytes) -> Iterator[bytes]:
    """Yield what stands before the damage, which zlib drops: what came whole counts, however the network cut it."""
    while len(data) > 1:
        half = len(data) // 2
        trial = inflate.copy()
        try:
            piece = trial.decompress(data[:half], PIECE)
        except zlib.error:
            data = data[:half]
            continue
        inflate, data = trial, trial.unconsumed_tail + data[half:]
        if piece:
            yield piece


class Decoder:
    """Undoes the content codings of one answer. Every piece it delivers has at most 64 KiB.

    Args:
        codings: The codings in the order in which the server applied them.
        limits: `codings` and `gzip_ratio` of it hold.

    Raises:
        Failed: A coding that was not asked for (protocol), or too many of them (too_large).
    """

    __slots__ = ("_stages",)

    def __init__(self, codings: Sequence[str], limits: WireLimits) -> None:
        """Prepare one stage per coding."""
        if len(codings) > limits.codings:
            raise Failed("too_large", f"the answer has more than {limits.codings} content codings (limits.codings)")
        self._stages: list[_Inflate] = []
        for coding in reversed(codings):
            if coding not in ("gzip", "x-gzip", "deflate", "identity"):
                raise Failed("protocol", "the answer has a content coding that was not asked for")
            if coding != "identity":
                self._stages.append(_Inflate(gzip=coding != "deflate", ratio=limits.gzip_ratio))

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Deliver what `data` gives, piece by piece, so that no more than a piece is ever held.

        Raises:
            Failed: Damaged data (protocol), or growth above `limits.gzip_ratio` beyond 1 MiB (too_large).
        """
        pieces: Iterator[bytes] = iter((data,))
        for stage in self._stages:
            pieces = _through(stage, pieces)
        return pieces

    def finish(self) -> None:
        """Check that the body was whole.

        Raises:
            Failed: It is cut (eof).
        """
        for stage in self._stages:
            stage.finish()


def _through(stage: _Inflate, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield from stage.feed(piece)
