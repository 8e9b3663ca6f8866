"""Bodies cut at any place, as networks cut them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from loomwire.domain.errors import LLMError

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Decoder(Protocol[T_co]):
    """What cuts bytes into pieces."""

    @property
    def failure(self) -> LLMError | None:
        """What is wrong behind the pieces returned last."""

    def feed(self, data: bytes, /) -> Sequence[T_co]:
        """Return the pieces that some bytes complete."""

    def flush(self) -> Sequence[T_co]:
        """Return what was whole but not closed."""


def fed(decoder: Decoder[T], parts: Sequence[bytes]) -> list[T]:
    """Return what a decoder makes of the pieces of a body; raise what is wrong with it, wherever it stands."""
    found: list[T] = []
    for part in parts:
        found += decoder.feed(part)
        if decoder.failure is not None:
            raise decoder.failure
    return found


def cut(body: bytes, places: list[int]) -> list[bytes]:
    """Return the pieces of a body between some places in it."""
    ends = sorted({place % (len(body) + 1) for place in places} | {len(body)})
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]
