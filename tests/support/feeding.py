"""A leaf that says what a test feeds it, and readers of its streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from typing_extensions import override

from loomwire.domain.errors import LLMError
from loomwire.domain.events import Finished, StreamEvent, TextDelta
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.pricing import Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from support.chains import HI
from support.keeping import ALWAYS, Saved

USED = Usage(3, 4)
ANSWER = LLMResponse(
    output="one two",
    text="one two",
    provider="p",
    model="m",
    finish="stop",
    usage=USED,
    steps=(Step("attempt", "p/m", "answered"),),
)
ONE, TWO, END = TextDelta("one "), TextDelta("two"), Finished("stop")


class Fed(ILLMClient):
    """Says what a test feeds it, event by event; plain calls wait for the whole answer, or the error."""

    def __init__(self) -> None:
        self.fed: asyncio.Queue[StreamEvent | BaseException] = asyncio.Queue()
        self.enter = asyncio.Event()
        self.enter.set()
        self.refusals: list[LLMError] = []
        self.begun = 0
        self.open = 0
        self.closing = asyncio.Event()
        self.closing.set()

    def feed(self, *events: StreamEvent | BaseException) -> None:
        """Have these said next."""
        for event in events:
            self.fed.put_nowait(event)

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        self.begun += 1
        answer = self._answer()
        self.open += 1
        try:
            event = await self.fed.get()
        finally:
            self.open -= 1
        if isinstance(event, BaseException):
            raise event
        return answer

    def _answer(self) -> LLMResponse[str]:
        return replace(ANSWER, response_id=str(self.begun))

    @override
    @asynccontextmanager
    async def stream(self, request: LLMRequest) -> AsyncIterator[LLMStream]:
        self.begun += 1
        answer = self._answer()
        self.open += 1
        try:
            await self.enter.wait()
            if self.refusals:
                raise self.refusals.pop()
            yield FedStream(self.fed, answer)
            await self.closing.wait()
        finally:
            self.open -= 1


class FedStream(LLMStream):
    """The stream of a `Fed` client."""

    def __init__(self, fed: asyncio.Queue[StreamEvent | BaseException], answer: LLMResponse[str]) -> None:
        self._fed = fed
        self._answer = answer

    @override
    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        while True:
            event = await self._fed.get()
            if isinstance(event, BaseException):
                raise event
            yield event
            if isinstance(event, Finished):
                return

    @property
    @override
    def response(self) -> LLMResponse[str]:
        return self._answer


class Read:
    """A reader in a task of its own, and what it has read so far."""

    def __init__(self, saved: Saved, request: LLMRequest = HI) -> None:
        self.events: list[StreamEvent] = []
        self.stream: LLMStream | None = None
        self.go = asyncio.Event()
        self.go.set()
        self.task = asyncio.create_task(self._read(saved, request))

    async def _read(self, saved: Saved, request: LLMRequest) -> LLMResponse[str]:
        async with saved.client.stream(request) as stream:
            self.stream = stream
            async for event in stream:
                self.events.append(event)
                await self.go.wait()
            return stream.response


def fed(policy: float = 0.0) -> tuple[Fed, Saved]:
    """Return a fed client, and a cached one over it."""
    leaf = Fed()
    return leaf, Saved(leaf, replace(ALWAYS, stale_if_error_s=policy))


def tasks_of_flights() -> int:
    """Return how many tasks of flights there are."""
    return sum("Flight" in repr(task) for task in asyncio.all_tasks())
