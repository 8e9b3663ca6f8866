"""Embedders and rerankers for the tests of the layers above them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from typing_extensions import override

from loomwire.application.pipeline import Parts
from loomwire.application.state.stats import CallStats
from loomwire.application.state.targets import TargetStates
from loomwire.domain.config import LLMConfig
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.embedding import BatchPolicy, IEmbedder, IEmbeddingFactory, IReranker
from loomwire.domain.ports.events import IEventSink
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, RerankRequest, RerankResponse
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.testing import HashEmbedder, ScriptedClient, WordReranker
from support.chains import ScriptedFactory

Happens = Callable[[EmbedRequest], EmbedResponse | None]


async def one_turn(_: EmbedRequest) -> None:
    """Wait for a turn of the loop."""
    await asyncio.sleep(0)


async def for_ever(_: EmbedRequest) -> None:
    """Wait until somebody cancels."""
    await asyncio.Event().wait()


class Watched(IEmbedder):
    """Embeds by hash, and remembers what was asked; something may happen to a batch first.

    Attributes:
        requests: What was asked.
        cancelled: How many were cancelled.
        most: How many were under way at once.
    """

    def __init__(
        self, happens: Happens = lambda _: None, waits: Callable[[EmbedRequest], Awaitable[None]] = one_turn
    ) -> None:
        self.requests: list[EmbedRequest] = []
        self.cancelled = self.most = self._now = 0
        self._happens = happens
        self._waits = waits
        self._inner = HashEmbedder(8)

    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        self.requests.append(request)
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await self._waits(request)
            return self._happens(request) or await self._inner.embed(replace(request, bound=None))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self._now -= 1

    @override
    def __repr__(self) -> str:
        return "Watched()"


class Ranker(IReranker):
    """Ranks by words, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    @override
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        if self.error is not None:
            raise self.error
        return await WordReranker().rerank(replace(request, bound=None))

    @override
    def __repr__(self) -> str:
        return "Ranker()"


class Fixed(IEmbeddingFactory):
    """Hands out one embedder and one reranker, and counts how often."""

    def __init__(
        self, embedder: IEmbedder, reranker: IReranker | None = None, policy: BatchPolicy | None = None
    ) -> None:
        self.made: list[str] = []
        self._embedder = embedder
        self._reranker = reranker or Ranker()
        self._policy = policy

    @override
    def embedder(self, config: LLMConfig) -> IEmbedder:
        self.made.append(config.model)
        return self._embedder

    @override
    def reranker(self, config: LLMConfig) -> IReranker:
        self.made.append(config.model)
        return self._reranker

    @override
    def batches(self, config: LLMConfig) -> BatchPolicy:
        return super().batches(config) if self._policy is None else self._policy


def parts_of(factory: IEmbeddingFactory | None, clock: IClock | None = None, sinks: Sequence[IEventSink] = ()) -> Parts:
    """Return what chains over a factory are made from."""
    scripted = ScriptedFactory({"m": ScriptedClient(then="Hello.")})
    return Parts(scripted, clock or SystemClock(), CallStats(), TargetStates(clock or SystemClock()), sinks, factory)
