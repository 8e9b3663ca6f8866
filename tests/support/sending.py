"""Embedders, rerankers and counters with several keys, for the tests of how they send."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace

from typing_extensions import override

from loomwire.application.embedding.chains import build_embedder
from loomwire.application.pipeline import Parts
from loomwire.application.state.stats import CallStats
from loomwire.application.state.targets import TargetStates
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.policies import BalancePolicy, RetryPolicy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.embedding import BatchPolicy, IEmbedder, IEmbeddingFactory, IReranker
from loomwire.domain.values import Secret
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse
from loomwire.testing import HashEmbedder, ScriptedClient
from support.chains import ScriptedFactory
from support.embedding import Ranker
from support.retrying import PLENTY

Playing = Exception | Callable[[], None] | None
"""What happens to one send: it fails, something is done first, or nothing."""

LISTED = BalancePolicy(equals="ordered")


class Playlist(IEmbedder):
    """Fails as it is told, then embeds by hash; remembers when it was asked, and what.

    Attributes:
        requests: What was asked.
        times: When.
        then: What happens to further sends.

    Args:
        *plays: What happens to each send.
        clock: The time.
        then: What happens to all further ones.
    """

    def __init__(self, *plays: Playing, clock: IClock, then: Playing = None) -> None:
        self.requests: list[EmbedRequest] = []
        self.times: list[float] = []
        self._plays = list(plays)
        self.then = then
        self._clock = clock

    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        self.requests.append(request)
        self.times.append(self._clock.now())
        play = self._plays.pop(0) if self._plays else self.then
        if isinstance(play, Exception):
            # Layers note their steps on what is raised.
            raise copy(play)
        if play is not None:
            play()
        return await HashEmbedder(4).embed(replace(request, bound=None))

    @override
    def __repr__(self) -> str:
        return "Playlist()"


class ByKey(IEmbeddingFactory):
    """Hands out an embedder for each key."""

    def __init__(self, embedders: Mapping[str, IEmbedder], policy: BatchPolicy | None = None) -> None:
        self._embedders = embedders
        self._policy = policy

    @override
    def embedder(self, config: LLMConfig) -> IEmbedder:
        return self._embedders[config.keys[0].reveal() if config.keys else ""]

    @override
    def reranker(self, config: LLMConfig) -> IReranker:
        return Ranker()

    @override
    def batches(self, config: LLMConfig) -> BatchPolicy:
        return super().batches(config) if self._policy is None else self._policy


def sent_to(*keys: str, retry: RetryPolicy = RetryPolicy(attempts=1)) -> LLMConfig:
    """Return a target with keys."""
    secrets = tuple(map(Secret, keys))
    return LLMConfig(type="scripted", name="vendor", model="m", keys=secrets, retry=retry, retry_budget=PLENTY)


def largest() -> float:
    """Draw the largest number."""
    return 1.0


def embedder_of(
    embedders: Mapping[str, IEmbedder],
    clock: IClock,
    target: LLMConfig,
    balance: BalancePolicy = LISTED,
    policy: BatchPolicy | None = None,
    draw: Callable[[], float] = largest,
) -> tuple[IEmbedder, Parts]:
    """Return a client's whole embedder over embedders by key, and what it is made from."""
    factory = ScriptedFactory({"m": ScriptedClient(then="Hello.")})
    states = TargetStates(clock)
    made = Parts(factory, clock, CallStats(), states, (), ByKey(embedders, policy), draw=draw)
    return build_embedder(ClientConfig(name="search", targets=(target,), balance=balance), made), made


def told(steps: Sequence[object]) -> list[str]:
    """Return steps as texts: layer, target, outcome and reason."""
    names = ("layer", "target", "outcome", "reason")
    return [" ".join(part for name in names if (part := str(getattr(step, name)))) for step in steps]
