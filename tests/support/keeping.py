"""Cached clients over scripted leaves, and everything that a test of them wants to look at."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from loomwire.application.caching.flights import Flights
from loomwire.application.caching.keys import RequestKeys
from loomwire.application.caching.purges import Purges
from loomwire.application.caching.tallies import CacheTally
from loomwire.application.caching.terms import Keeping, Likeness, SimilarAnswers
from loomwire.application.clients.cached.client import CachedClient
from loomwire.domain.caching.entries import CacheEntry, CacheKey
from loomwire.domain.caching.policies import CachePolicy, DiskLevel, MemoryLevel
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.events import StreamEvent
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.requests import PRIORITIES, LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.testing import FakeClock, ScriptedClient
from loomwire.testing.scripted import Scripted
from support.shelves import DictStore

ALWAYS = CachePolicy(mode="always", ttl_s=100.0, levels=(MemoryLevel(), DiskLevel("unused", timeout_s=0.05)))
TOTAL_S = 60.0


class Place(DictStore):
    """A dict that remembers what it was told of lifetimes, and may take its time.

    Attributes:
        lifetimes: Of the last write: fresh for, and kept after that, in seconds.
        slow_s: How long every look and write takes.
    """

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.clock = clock
        self.lifetimes = (0.0, 0.0)
        self.slow_s = 0.0

    @override
    async def get(self, key: CacheKey) -> CacheEntry | None:
        found = await super().get(key)
        if self.slow_s:
            await self.clock.sleep(self.slow_s)
        return found

    @override
    async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
        self.lifetimes = (ttl_s, keep_s)
        if self.slow_s:
            await self.clock.sleep(self.slow_s)
        await super().set(key, value, ttl_s=ttl_s, keep_s=keep_s)


class Alike(SimilarAnswers):
    """Finds what a test says, and remembers what it is told."""

    def __init__(self, *found: Likeness | None) -> None:
        self.found = deque(found)
        self.remembered: list[CacheKey] = []
        self.judged: list[tuple[str | None, str]] = []
        self.gate: asyncio.Event | None = None

    @override
    async def find(self, request: LLMRequest, key: CacheKey) -> Likeness | None:
        if self.gate is not None:
            await self.gate.wait()
        return self.found.popleft() if self.found else None

    @override
    async def remember(self, request: LLMRequest, key: CacheKey) -> None:
        self.remembered.append(key)

    @override
    def judge(self, likeness: Likeness, would_be: LLMResponse[str] | None, response: LLMResponse[str]) -> None:
        self.judged.append((None if would_be is None else would_be.text, response.text))


@dataclass
class Saved:
    """A cached client, and all it is made of."""

    said: Sequence[Scripted] | ILLMClient = ()
    policy: CachePolicy = ALWAYS
    last_resort: bool = False
    similar: Alike | None = None
    equals: frozenset[str] | None = None
    draw: float = 0.5
    clock: FakeClock = field(default_factory=FakeClock)
    flights: Flights = field(default_factory=Flights)
    purges: Purges = field(default_factory=Purges)
    tally: CacheTally = field(default_factory=CacheTally)

    def __post_init__(self) -> None:
        """Compose it."""
        self.leaf = ScriptedClient(*self.said, clock=self.clock) if isinstance(self.said, Sequence) else self.said
        target = LLMConfig(type="scripted", model="scripted", name="scripted")
        self.keys = RequestKeys(ClientConfig(name="planner", targets=(target,), cache=self.policy))
        self.place = Place(self.clock)
        self.client = CachedClient(
            self.leaf,
            Keeping(
                policy=self.policy,
                keys=self.keys,
                store=self.place,
                flights=self.flights,
                purges=self.purges,
                tally=self.tally,
                clock=self.clock,
                total_s=TOTAL_S,
                equals=dict.fromkeys(PRIORITIES, self.equals),
                last_resort=self.last_resort,
                draw=lambda: self.draw,
                similar=self.similar,
            ),
        )

    @property
    def scripted(self) -> ScriptedClient:
        """The leaf, where it is a scripted one."""
        assert isinstance(self.leaf, ScriptedClient)
        return self.leaf

    @property
    def sent(self) -> int:
        """How many requests the scripted leaf got."""
        return len(self.scripted.requests)

    @property
    def counts(self) -> Mapping[str, object]:
        """What was counted, without zeros and rates."""
        counts = self.tally.counts().to_dict()
        return {name: count for name, count in counts.items() if count and name != "hit_rate"}

    def key(self, request: LLMRequest) -> CacheKey:
        """Return where a request's answer is kept."""
        key = self.keys(request)
        assert key is not None
        return key


def ask(saved: Saved, request: LLMRequest) -> asyncio.Task[LLMResponse[str]]:
    """Ask in a task of its own."""
    return asyncio.ensure_future(saved.client.generate(request))


async def events_of(stream: LLMStream) -> list[StreamEvent]:
    """Read a stream to its end."""
    return [event async for event in stream]


async def read(client: ILLMClient, request: LLMRequest) -> LLMResponse[str]:
    """Stream a request and return the whole answer."""
    async with client.stream(request) as stream:
        async for _ in stream:
            pass
        return stream.response


def listen(saved: Saved, request: LLMRequest) -> asyncio.Task[LLMResponse[str]]:
    """Stream in a task of its own."""
    return asyncio.create_task(read(saved.client, request))
