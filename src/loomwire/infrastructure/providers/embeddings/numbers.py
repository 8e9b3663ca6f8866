"""Vectors out of JSON: numbers and base64, and what none of them may be."""

from __future__ import annotations

import math
import sys
from array import array
from binascii import Error, a2b_base64
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.pricing import NO_USAGE, Usage
from loomwire.domain.vectors.embeddings import EmbedRequest
from loomwire.infrastructure.providers.wire.json_bytes import MOST_VALUES
from loomwire.infrastructure.providers.wire.usage import believable, number

T = TypeVar("T")

MOST_DIMENSIONS: Final = 16_384
"""Numbers of one vector, of which four times as many as any model has are believed."""


def read_vectors(body: bytes, texts: int, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode an answer whose numbers are its purpose, so that it may have more of them than another one.

    Raises:
        LLMProtocolError: It is no JSON, not of the decoder's shape, or has too many values (too_large). The data is
            neither part of the error nor of its context.
    """
    if body.count(b",") > MOST_VALUES + texts * MOST_DIMENSIONS:
        raise llm_error("too_large", f"the answer has more than {MOST_DIMENSIONS} numbers for each text")
    try:
        return decoder.decode(body)
    except (ValueError, RecursionError) as error:
        why = "is no JSON"
        if isinstance(error, msgspec.ValidationError):
            why = f"has an unexpected shape: {error}"  # msgspec names types and places, never values
    raise llm_error("protocol", f"the server's answer {why}")


def vector(sent: Sequence[float] | str) -> array[float]:
    """Return a vector that came as numbers, or as float32 in base64, least byte first (TRAPS 56).

    Raises:
        LLMProtocolError: The base64 is none, or holds no whole numbers.
    """
    if not isinstance(sent, str):
        return array("f", sent)
    found = array("f")
    try:
        found.frombytes(a2b_base64(sent, strict_mode=True))
    except (Error, ValueError):
        raise llm_error("protocol", "a vector is no float32 in base64") from None
    if sys.byteorder == "big":  # pragma: no cover  # no such machine here
        found.byteswap()
    return found


def in_order(indexes: Sequence[object], vectors: Sequence[array[float]]) -> Sequence[array[float]]:
    """Return vectors in the order of their indexes; as they came where no index came.

    Raises:
        LLMProtocolError: The indexes are not those of the vectors, each once.
    """
    if all(index is None for index in indexes):
        return vectors
    places = {number(index): place for place, index in enumerate(indexes)}
    if places.keys() != set(range(len(vectors))):
        raise llm_error("protocol", "the vectors' indexes are not one for each text")
    return [vectors[places[index]] for index in range(len(vectors))]


def check_vectors(vectors: Sequence[array[float]], request: EmbedRequest) -> None:
    """Raise a protocol error unless there is one vector for each text, whole, finite and of the one right size."""
    if len(vectors) != len(request.texts):
        raise _wrong(f"{len(vectors)} vectors came for {len(request.texts)} texts")
    sizes = {len(each) for each in vectors}
    if len(sizes) > 1 or 0 in sizes:
        raise _wrong(f"vectors of {', '.join(map(str, sorted(sizes)[:4]))} numbers came")
    # A sum of finite float32 is finite in a double; infinity and NaN stay what they are.
    if not all(math.isfinite(sum(each)) for each in vectors):
        raise _wrong("a vector has a number that is not finite")
    if request.dimensions is not None and sizes != {request.dimensions}:
        got = sizes.pop()
        raise _wrong(f"vectors of {got} numbers came, and {request.dimensions} were asked for")


def input_usage(sent: object, total: object = None) -> Usage:
    """Return the usage of a call that has no output; unknown when neither number came."""
    tokens, whole = number(sent), number(total)
    if tokens is None and whole is None:
        return NO_USAGE
    return believable((whole or 0 if tokens is None else tokens, 0, 0, 0, 0), whole)


def _wrong(why: str) -> LLMError:
    return llm_error("protocol", why, hint="Is it an embedding model, and does it know what was asked of it?")
