"""Fakes for tests that embed and rerank: vectors out of a text's hash, ranks out of its words. No model, no network."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, final

from typing_extensions import override

from loomwire.domain.errors import LLMTimeoutError
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.embedding import IEmbedder, IReranker
from loomwire.domain.pricing import FREE, Usage
from loomwire.domain.requests import Bound
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, Ranked, RerankRequest, RerankResponse
from loomwire.infrastructure.telemetry.clock import SystemClock

DIMENSIONS: Final = 64
"""Numbers of a vector whose size nobody asked for."""

_WORD = re.compile(r"\w+")
_CLOCK: Final = SystemClock()


def hashed_vector(text: str, dimensions: int = DIMENSIONS) -> array[float]:
    """Return the vector that fakes give a text: its hash, of length 1. Equal texts, equal vectors, on every machine.

    Example:
        >>> hashed_vector("panda") == hashed_vector("panda")
        True
        >>> round(sum(number * number for number in hashed_vector("panda")), 3)
        1.0
    """
    data = text.encode(errors="surrogatepass")
    digests = (blake2b(data, salt=block.to_bytes(8, "little")).digest() for block in range(-(-dimensions // 32)))
    bits = b"".join(digests)[: 2 * dimensions]
    numbers = [int.from_bytes(bits[at : at + 2], "little") - 32767.5 for at in range(0, len(bits), 2)]
    length = math.sqrt(sum(number * number for number in numbers))
    return array("f", [number / length for number in numbers])


def word_ranks(query: str, documents: Sequence[str], top_n: int | None = None) -> list[Ranked]:
    """Return the ranks that fakes give: the share of the query's words that stand in a document, best first.

    Example:
        >>> [rank.index for rank in word_ranks("giant panda", ["A car.", "The giant panda.", "A panda."])]
        [1, 2, 0]
    """
    wanted = set(_WORD.findall(query.lower()))
    shares = (len(wanted & set(_WORD.findall(text.lower()))) / max(1, len(wanted)) for text in documents)
    ranks = sorted((Ranked(index, share) for index, share in enumerate(shares)), key=lambda rank: -rank.score)
    return ranks[: len(ranks) if top_n is None else top_n]


@final
class HashEmbedder(IEmbedder):
    """Gives every text its `hashed_vector`, free and at once. Four characters of text count as a token.

    Args:
        dimensions: Numbers of each vector, unless the request says.
        clock: Whose instants bounds are.

    Example:
        >>> import asyncio
        >>> answer = asyncio.run(HashEmbedder(8).embed(EmbedRequest.of("one", "two")))
        >>> len(answer.vectors), answer.dimensions
        (2, 8)
    """

    def __init__(self, dimensions: int = DIMENSIONS, clock: IClock = _CLOCK) -> None:
        """Embed into so many dimensions."""
        self.dimensions = dimensions
        self._clock = clock

    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        _check_bound(request.bound, self._clock)
        size = request.dimensions or self.dimensions
        vectors = tuple(hashed_vector(text, size) for text in request.texts)
        return EmbedResponse(vectors, provider="fake", model="hash", usage=_usage(*request.texts), cost=FREE)


@final
class WordReranker(IReranker):
    """Ranks documents by `word_ranks`, free and at once.

    Args:
        clock: Whose instants bounds are.

    Example:
        >>> import asyncio
        >>> ask = RerankRequest.of("panda", "A car.", "A panda.", top_n=1)
        >>> asyncio.run(WordReranker().rerank(ask)).results
        (Ranked(index=1, score=1.0),)
    """

    def __init__(self, clock: IClock = _CLOCK) -> None:
        """Rank."""
        self._clock = clock

    @override
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        _check_bound(request.bound, self._clock)
        results = tuple(word_ranks(request.query, request.documents, request.top_n))
        usage = _usage(request.query, *request.documents)
        return RerankResponse(results, provider="fake", model="words", usage=usage, cost=FREE)


def _usage(*texts: str) -> Usage:
    return Usage(-(-sum(map(len, texts)) // 4), estimated=True)


def _check_bound(bound: Bound | None, clock: IClock) -> None:
    if bound is not None and clock.now() >= bound.at:
        raise LLMTimeoutError("the bound passed before the call began", reason=bound.reason)
