"""Keeping: what a cached client works with, made at build time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from loomwire.application.caching.flights import Flights
from loomwire.application.caching.keys import RequestKeys
from loomwire.application.caching.purges import Purges
from loomwire.application.caching.tallies import CacheTally
from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.caching.policies import CachePolicy
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.requests import LLMRequest, Priority
from loomwire.domain.responses import LLMResponse


@dataclass(frozen=True, slots=True)
class Likeness:
    """A question that was answered before and means the same.

    Attributes:
        key: Where its answer is kept.
        similarity: Of both questions, 0 to 1.
        shadow: Nobody may be answered so; it is only counted.
    """

    key: CacheKey
    similarity: float
    shadow: bool


class SimilarAnswers(Protocol):
    """Finds answers of questions that mean the same. Neither method ever raises but for cancellation."""

    @abstractmethod
    async def find(self, request: LLMRequest, key: CacheKey) -> Likeness | None:
        """Return the likest question that passed both gates, or None."""

    @abstractmethod
    async def remember(self, request: LLMRequest, key: CacheKey) -> None:
        """Take in a question whose answer has just been kept."""

    @abstractmethod
    def judge(self, likeness: Likeness, would_be: LLMResponse[str] | None, response: LLMResponse[str]) -> None:
        """Count whether a shadow hit (None: its answer is gone) would have been right."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a cached client works with.

    Attributes:
        policy: What is kept, and for how long.
        keys: Makes the keys of requests.
        store: Where.
        flights: Calls that are going on, for those who ask the same.
        purges: How often what is kept was purged.
        tally: What is counted.
        clock: The time.
        total_s: Seconds for a call whose request says nothing.
        equals: By the request's priority, the targets (provider/model) whose answers are kept; None is all of them.
        last_resort: What was kept answers, marked as degraded, when no target did.
        draw: Gives a number from 0 to 1, for the spread of lifetimes.
        similar: Answers of questions that mean the same; None is off.
    """

    policy: CachePolicy
    keys: RequestKeys
    store: ICacheStrategy
    flights: Flights
    purges: Purges
    tally: CacheTally
    clock: IClock
    total_s: float
    equals: Mapping[Priority, frozenset[str] | None]
    last_resort: bool
    draw: Callable[[], float]
    similar: SimilarAnswers | None = None
