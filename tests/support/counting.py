"""Token counters for the tests of the layers above them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from typing_extensions import override

from loomwire.application.pipeline import Parts
from loomwire.application.state.stats import CallStats
from loomwire.application.state.targets import TargetStates
from loomwire.domain.config import LLMConfig
from loomwire.domain.counting.counts import TokenCount
from loomwire.domain.errors import LLMTimeoutError
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.counting import ITokenCounter
from loomwire.domain.ports.events import IEventSink
from loomwire.domain.requests import LLMRequest
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.testing import ScriptedClient
from support.chains import ScriptedFactory


class WordCounter(ITokenCounter):
    """Counts words and tools, and remembers what was asked; it may wait for ever, or raise."""

    def __init__(self, error: Exception | None = None, *, waits: bool = False) -> None:
        self.requests: list[LLMRequest] = []
        self._error = error
        self._waits = waits

    @override
    async def count(self, request: LLMRequest) -> TokenCount:
        self.requests.append(request)
        await (asyncio.Event().wait() if self._waits else asyncio.sleep(0))
        if self._error is not None:
            raise self._error
        if request.bound is not None and request.bound.at <= 0:
            raise LLMTimeoutError("too late", reason=request.bound.reason)
        words = sum(len(message.text.split()) for message in request.messages)
        return TokenCount(provider="vendor", model="m", input_tokens=words + 10 * len(request.tools))

    @override
    def __repr__(self) -> str:
        return "WordCounter()"


class Counters(ScriptedFactory):
    """Hands out one counter, and remembers for which targets."""

    def __init__(self, counter: ITokenCounter) -> None:
        super().__init__({"m": ScriptedClient(then="Hello.")})
        self.made: list[LLMConfig] = []
        self._counter = counter

    @override
    def counter(self, config: LLMConfig) -> ITokenCounter:
        self.made.append(config)
        return self._counter


def counting_parts(
    counter: ITokenCounter, clock: IClock | None = None, sinks: Sequence[IEventSink] = ()
) -> tuple[Parts, Counters]:
    """Return what chains over a counter are made from, and the factory among it."""
    factory = Counters(counter)
    clock = clock or SystemClock()
    return Parts(factory, clock, CallStats(), TargetStates(clock), sinks), factory
