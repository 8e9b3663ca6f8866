"""What tests of the semantic cache share: an embedder without a model, an index without numpy, and a cache of both."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b

from typing_extensions import override

from loomwire.application.caching.keys import RequestKeys
from loomwire.application.caching.semantic.answers import SemanticAnswers, semantic_answers
from loomwire.application.caching.semantic.memories import SimilarMemories
from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.caching.policies import CacheIndex, CachePolicy, SemanticPolicy
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.errors import ConfigError
from loomwire.domain.ports.caching.similarity import ISimilarityIndex, ISimilarityIndexes, Near
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.embedding import IEmbedder
from loomwire.domain.pricing import FREE
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, Vector
from loomwire.testing.clock import FakeClock

MODEL = LLMConfig(type="offline", model="helper", name="offline")
EMBEDDER = LLMConfig(type="offline", model="small", name="vectors")


def word_vector(text: str) -> list[float]:
    """Return how often the words of a text are there, in 64 bins: texts that share words are near."""
    numbers = [0.0] * 64
    for word in text.lower().split():
        numbers[blake2b(word.strip("?.!,").encode(), digest_size=1).digest()[0] % 64] += 1.0
    return numbers


class WordEmbedder(IEmbedder):
    """Gives `word_vector`, or raises what it is told to; remembers the texts."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.requests: list[EmbedRequest] = []
        self.fails: Exception | None = None
        self.vector: Callable[[str], Vector] = word_vector

    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        self.requests.append(request)
        self.texts += request.texts
        if self.fails is not None:
            raise self.fails
        vectors = tuple(self.vector(text) for text in request.texts)
        return EmbedResponse(vectors, provider="fake", model="words", cost=FREE)


class PlainIndex(ISimilarityIndex):
    """Looks at every vector, in Python; it may say that it has more, and notes on which threads it was searched."""

    def __init__(self, dimensions: int, more: int = 0, threads: list[int] | None = None) -> None:
        self._dimensions = dimensions
        self._more = more
        self._threads = [] if threads is None else threads
        self.vectors: dict[int, Vector] = {}

    def _checked(self, vector: Vector) -> Vector:
        if len(vector) != self._dimensions or not any(vector):
            raise ValueError("like nothing")
        return vector

    @override
    def add(self, label: int, vector: Vector) -> None:
        self.vectors[label] = self._checked(vector)

    @override
    def search(self, vector: Vector, limit: int) -> Sequence[Near]:
        self._checked(vector)
        self._threads.append(threading.get_ident())
        near = [Near(label, cosine(vector, other)) for label, other in list(self.vectors.items())]
        return sorted(near, key=lambda one: -one.similarity)[:limit]

    @override
    def remove(self, label: int) -> None:
        self.vectors.pop(label, None)

    @override
    def held_bytes(self) -> int:
        return 4 * self._dimensions * len(self.vectors)

    @override
    def __len__(self) -> int:
        return len(self.vectors) and len(self.vectors) + self._more


class PlainIndexes(ISimilarityIndexes):
    """Makes `PlainIndex`; usearch is not installed."""

    def __init__(self, more: int = 0) -> None:
        self._more = more
        self.threads: list[int] = []

    @override
    def check(self, kind: CacheIndex) -> None:
        if kind == "usearch":
            raise ConfigError("usearch is not installed")

    @override
    def index(self, kind: CacheIndex, dimensions: int) -> ISimilarityIndex:
        return PlainIndex(dimensions, self._more, self.threads)


def cosine(one: Vector, other: Vector) -> float:
    """Return the cosine of two vectors."""
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))


class Cache:
    """A semantic cache over fakes, in the state in which a cached client uses it.

    Args:
        policy: What is asked of it; a threshold of 0.9 suits `word_vector`.
        embedder: Whom it asks.
        indexes: What makes its indexes.
        clock: The time.
    """

    def __init__(
        self,
        policy: SemanticPolicy = SemanticPolicy(threshold=0.9, shadow=False),
        embedder: IEmbedder | None = None,
        indexes: ISimilarityIndexes | None = None,
        clock: IClock | None = None,
    ) -> None:
        self.embedder = WordEmbedder()
        self.clock = FakeClock()
        self.memories = SimilarMemories(indexes or PlainIndexes())
        self.config = ClientConfig(
            name="planner", targets=(MODEL,), cache=CachePolicy(mode="always", semantic=policy), embedder=EMBEDDER
        )
        self.keys = RequestKeys(self.config)
        self._asks = embedder or self.embedder
        self._now: IClock = clock or self.clock
        self.answers = self.rebuilt()

    def rebuilt(self, policy: SemanticPolicy | None = None) -> SemanticAnswers:
        """Return the cache as a reload builds it anew, over the same memory."""
        config = self.config if policy is None else replace(self.config, cache=CachePolicy("always", semantic=policy))
        made = semantic_answers(
            config, keys=self.keys, memories=self.memories, embedder=lambda: self._asks, clock=self._now
        )
        assert made is not None
        return made

    def key(self, request: LLMRequest) -> CacheKey:
        """Return where a request's answer is kept."""
        key = self.keys(request)
        assert key is not None
        return key

    async def keeps(self, *requests: LLMRequest | str) -> None:
        """Let answers of these be kept, as after a miss."""
        for one in requests:
            request = LLMRequest.of(one) if isinstance(one, str) else one
            await self.answers.find(request, self.key(request))
            await self.answers.remember(request, self.key(request))

    async def finds(self, request: LLMRequest | str) -> CacheKey | None:
        """Return whose answer a request would be given."""
        request = LLMRequest.of(request) if isinstance(request, str) else request
        likeness = await self.answers.find(request, self.key(request))
        return None if likeness is None else likeness.key


def answer(text: str) -> LLMResponse[str]:
    """Return an answer."""
    return LLMResponse(text, text, "offline", "helper", finish="stop")
