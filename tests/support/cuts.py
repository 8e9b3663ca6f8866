"""Bodies cut at any place, as networks cut them."""

from __future__ import annotations


def cut(body: bytes, places: list[int]) -> list[bytes]:
    """Return the pieces of a body between some places in it."""
    ends = sorted({place % (len(body) + 1) for place in places} | {len(body)})
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]
