"""How vectors and rankings are kept as bytes: never wrong, or not at all."""

from __future__ import annotations

import json
import math
import sys
from array import array
from dataclasses import dataclass
from struct import Struct
from typing import Final

from loomwire.domain.vectors.embeddings import Ranked, RerankResponse, Vector

_VERSION: Final = 1
_NUMBER_BYTES: Final = 4
# Version, bytes of both names, numbers of the vector.
_HEAD: Final = Struct("<BHHI")
_LONGEST_NAME: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class KeptVector:
    """One text's vector as it was kept.

    Attributes:
        provider: The provider's name in the configuration.
        model: The model that made it, as its provider reported it: vectors of two models cannot be compared.
        dimensions: How many numbers it has.
        raw: These numbers, 32 bits each, low byte first.
    """

    provider: str
    model: str
    dimensions: int
    raw: memoryview

    def vector(self) -> array[float]:
        """Return the vector, which nobody else has."""
        numbers = array("f")
        numbers.frombytes(self.raw)
        return _swapped(numbers)


@dataclass(frozen=True, slots=True)
class KeptRanking:
    """A ranking as it was kept.

    Attributes:
        provider: The provider's name in the configuration.
        model: The model that made it, as its provider reported it.
        results: Best first.
    """

    provider: str
    model: str
    results: tuple[Ranked, ...]


def vector_bytes(provider: str, model: str, vector: Vector) -> bytes | None:
    """Return a vector in the form in which it is kept: a head, both names, its numbers, 32 bits each, low byte first.

    Returns:
        None for one whose numbers 32 bits cannot hold without loss or are not finite, an empty one, and whatever is no
        vector.
    """
    numbers = _narrowed(vector)
    names = [name.encode("utf-8", "surrogatepass") for name in (provider, model)]
    # A sum of finite numbers of 32 bits is finite; infinity, and what is no number, stay what they are.
    if not numbers or not math.isfinite(sum(numbers)) or max(map(len, names)) > _LONGEST_NAME:
        return None
    return b"".join((_HEAD.pack(_VERSION, *map(len, names), len(numbers)), *names, _swapped(numbers).tobytes()))


def vector_of(raw: bytes) -> KeptVector:
    """Return what `vector_bytes` made bytes of.

    Raises:
        ValueError: It made no such bytes.
    """
    if len(raw) < _HEAD.size:
        raise ValueError("too short for a vector")
    version, named, modelled, size = _HEAD.unpack_from(raw)
    middle = _HEAD.size + named
    start = middle + modelled
    if version != _VERSION or not size or len(raw) != start + size * _NUMBER_BYTES:
        raise ValueError("not a vector of this version")
    names = _name(raw[_HEAD.size : middle]), _name(raw[middle:start])
    return KeptVector(*names, size, memoryview(raw)[start:])


def ranking_bytes(response: RerankResponse) -> bytes | None:
    """Return a ranking in the form in which it is kept; None when a score is no finite number."""
    if not all(math.isfinite(rank.score) for rank in response.results):
        return None
    places = [[rank.index, float(rank.score)] for rank in response.results]
    names = {"provider": response.provider, "model": response.model}
    return json.dumps({"v": _VERSION, **names, "results": places}).encode()


def ranking_of(raw: bytes) -> KeptRanking:
    """Return what `ranking_bytes` made bytes of.

    Raises:
        ValueError: It made no such bytes.
    """
    found: object = json.loads(raw)
    match found:
        case {"v": int(v), "provider": str(name), "model": str(model), "results": list(places)} if v == _VERSION:
            return KeptRanking(name, model, tuple(map(_place, places)))
        case _:
            raise ValueError("not a ranking of this version")


def _narrowed(vector: Vector) -> array[float] | None:
    if isinstance(vector, array) and vector.typecode == "f":
        return vector
    try:
        numbers = array("f", vector)
        # What is no number at all is equal to nothing, itself included.
        whole = len(numbers) == len(vector) and all(
            mine == theirs for mine, theirs in zip(numbers, vector, strict=True)
        )
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if whole else None


def _name(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")


def _swapped(numbers: array[float]) -> array[float]:
    if sys.byteorder == "big":  # pragma: no cover  # no such machine here
        numbers = numbers[:]
        numbers.byteswap()
    return numbers


def _place(found: object) -> Ranked:
    match found:
        case [int(index), float(score)] if index >= 0:
            return Ranked(index, score)
        case _:
            raise ValueError("not a place in a ranking")
