"""Listens to one answer while its caller reads it: no event is delayed, and no more than a bound is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from typing_extensions import override

from loomwire.domain.errors import LLMError
from loomwire.domain.ports.pool import WireAnswer, WireRequest

ABANDONED = "abandoned"
"""Why a body is not whole when its reader left, was cancelled, or never began."""


@dataclass(frozen=True, slots=True)
class Captured:
    """What was seen of one exchange; the key is still in it, so it is never shown.

    Attributes:
        base_url: Where the request went.
        request: The request.
        status: The answer's status.
        headers: The answer's headers.
        body: Its body, as far as it was read; None when there was more than is kept.
        cut: Why it is not whole, or None.
    """

    base_url: str
    request: WireRequest = field(repr=False)
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    cut: str | None


Keep: TypeAlias = Callable[[Captured], None]
"""Takes what was captured; never waits."""


class CapturedAnswer(WireAnswer):
    """An answer that tells what was read of it, exactly once: at its end, at its failure, or when it is closed.

    Args:
        inner: The answer itself.
        request: What it answers.
        base_url: Where that went.
        keep: Is told.
        limit_bytes: The most that is kept of a body.
    """

    __slots__ = ("_base_url", "_inner", "_keep", "_left", "_pieces", "_request")

    def __init__(self, inner: WireAnswer, request: WireRequest, base_url: str, keep: Keep, limit_bytes: int) -> None:
        """Listen from the first byte on."""
        self._inner = inner
        self._request = request
        self._base_url = base_url
        self._keep: Keep | None = keep
        self._pieces: list[bytes] = []
        self._left = limit_bytes

    @property
    @override
    def status(self) -> int:
        return self._inner.status

    @property
    @override
    def headers(self) -> Mapping[str, str]:
        return self._inner.headers

    @override
    async def read(self) -> bytes:
        try:
            body = await self._inner.read()
        except BaseException as error:
            self.end(_why(error))
            raise
        self.take(body)
        self.end(None)
        return body

    @override
    def chunks(self) -> AsyncIterator[bytes]:
        return _Listened(self, self._inner.chunks())

    @override
    def close(self) -> None:
        self._inner.close()
        self.end(ABANDONED)

    def take(self, piece: bytes) -> None:
        """Keep a piece, or nothing at all of a body that has become too large."""
        self._left -= len(piece)
        if self._left >= 0:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    def end(self, cut: str | None) -> None:
        """Tell what was read, unless that was told before."""
        keep, self._keep = self._keep, None
        if keep is not None:
            body = b"".join(self._pieces) if self._left >= 0 else None
            self._pieces.clear()
            keep(Captured(self._base_url, self._request, self.status, self.headers, body, cut))


class _Listened(AsyncIterator[bytes]):
    __slots__ = ("_answer", "_chunks")

    def __init__(self, answer: CapturedAnswer, chunks: AsyncIterator[bytes]) -> None:
        self._answer = answer
        self._chunks = chunks

    @override
    async def __anext__(self) -> bytes:
        try:
            piece = await self._chunks.__anext__()
        except StopAsyncIteration:
            self._answer.end(None)
            raise
        except BaseException as error:
            self._answer.end(_why(error))
            raise
        self._answer.take(piece)
        return piece


def _why(error: BaseException) -> str:
    # A limit of the caller says nothing about the provider: it is a caller who left.
    is_wire = isinstance(error, LLMError) and error.reason not in ("attempt", "deadline", "closed")
    return error.reason if isinstance(error, LLMError) and is_wire else ABANDONED
