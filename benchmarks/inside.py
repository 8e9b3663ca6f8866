"""What only our client has: its layers without a network, names, growth, and how often connections serve again."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self, TypeAlias

from typing_extensions import override

from benchmarks.clients.ours import container_for, open_ours
from benchmarks.configuration import write_config
from benchmarks.guarding import MEASURES as GUARDING
from benchmarks.machine import resident_bytes
from benchmarks.payloads import ANSWER, PROMPT
from benchmarks.worker import Clock, Figures, must_be, one_after_the_other
from loomwire import (
    Finished,
    ILLMClient,
    ILLMClientFactory,
    LLMConfig,
    LLMContainer,
    LLMRequest,
    LLMResponse,
    LLMStream,
    TextDelta,
    Usage,
)
from loomwire.cli.workflow import run as run_workflow
from loomwire.domain.events import StreamEvent
from loomwire.domain.ports.pool import IConnectionPool

FEW, MANY = 10, 1000
GROWTH_WARM_UP = 4000
GROWTH_AT_ONCE = 8
EVENTS: tuple[StreamEvent, ...] = (*(TextDelta(" word") for _ in range(20)), Finished("stop"))
RESPONSE = LLMResponse(ANSWER, ANSWER, "leaf", "m", finish="stop", usage=Usage(17, 24))


class LeafStream(LLMStream, AbstractAsyncContextManager[LLMStream]):
    """Twenty texts that are there already."""

    def __init__(self) -> None:
        self._events = iter(EVENTS)

    @override
    async def __aenter__(self) -> Self:
        return self

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    @override
    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return self

    async def __anext__(self) -> StreamEvent:
        """Give the next event."""
        for event in self._events:
            return event
        raise StopAsyncIteration

    @property
    @override
    def response(self) -> LLMResponse[str]:
        return RESPONSE


class Leaf(ILLMClient):
    """Answers at once with the same object, so that only the layers above it cost anything."""

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        return RESPONSE

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return LeafStream()


class Leaves(ILLMClientFactory):
    """A client factory of leaves."""

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        return Leaf()


@asynccontextmanager
async def leaf_container(port: int) -> AsyncIterator[LLMContainer]:
    """Open the benchmark's container with leaves in place of the network."""
    with TemporaryDirectory(prefix="loomwire-bench-") as folder:
        write_config(Path(folder), port)
        async with LLMContainer.aopen(folder, watch=False, overrides={"client_factory": Leaves()}) as container:
            yield container


async def layers(port: int, count: int) -> Figures:
    """A call through every layer of the chain, with a request of its own as every call has."""
    async with leaf_container(port) as container:
        client = container.resolve(ILLMClient, "plain")

        async def ask() -> str:
            return (await client.generate(LLMRequest.of(PROMPT))).text

        return await one_after_the_other(ask, count)


async def layers_stream(port: int, count: int) -> Figures:
    """Entering, reading and leaving a stream of 20 texts through every layer."""
    async with leaf_container(port) as container:
        client = container.resolve(ILLMClient, "plain")

        async def read() -> str:
            async with client.stream(LLMRequest.of(PROMPT)) as stream:
                texts = [event async for event in stream]
                must_be(len(texts), len(EVENTS))
            return stream.response.text

        return await one_after_the_other(read, count)


async def resolve(port: int, count: int) -> Figures:
    """Finding a client by name."""
    async with container_for(port) as container:
        for _ in range(100):
            container.resolve(ILLMClient, "plain")
        clock = Clock()
        for _ in range(count):
            container.resolve(ILLMClient, "plain")
        return clock.per(count)


async def few_clients(port: int, count: int) -> Figures:
    """Sequential calls with 10 clients configured."""
    async with open_ours(port, FEW) as adapter:
        return await one_after_the_other(adapter.ask, count)


async def many_clients(port: int, count: int) -> Figures:
    """Sequential calls with 1,000 clients configured."""
    async with open_ours(port, MANY) as adapter:
        return await one_after_the_other(adapter.ask, count)


async def growth(port: int, count: int) -> Figures:
    """What stays in memory of so many calls, a tenth of them streams."""
    async with open_ours(port) as adapter:

        async def some(calls: int) -> None:
            for number in range(calls):
                if number % 10:
                    await adapter.ask()
                else:
                    await adapter.read("plain")

        async def many(calls: int) -> tuple[int, int]:
            async with asyncio.TaskGroup() as group:
                for _ in range(GROWTH_AT_ONCE):
                    group.create_task(some(calls // GROWTH_AT_ONCE))
            gc.collect()
            return resident_bytes(), len(gc.get_objects())

        before = await many(GROWTH_WARM_UP)
        after = await many(count)
    return {"bytes": (after[0] - before[0]) / count, "objects": (after[1] - before[1]) / count}


async def reuse_sequential(port: int, count: int) -> Figures:
    """The share of requests on a connection that had served before, by the pool's own statistics."""
    async with container_for(port) as container:
        client = container.resolve(ILLMClient, "plain")
        for _ in range(count):
            await client.generate(LLMRequest.of(PROMPT))
        return _share(container, count)


async def reuse_demo(port: int, count: int) -> Figures:
    """The same for the demo's workflow, run as often as an engine would, on clients that have a network."""
    async with container_for(port) as container:
        for _ in range(count):
            await run_workflow(container, lambda _node, _text: None)
        return _share(container, 3 * count)


def _share(container: LLMContainer, requests: int) -> Figures:
    stats = container.resolve(IConnectionPool).get_stats()
    must_be(stats.total, requests)
    return {"share": stats.reuse_rate}


Inside: TypeAlias = Callable[[int, int], Awaitable[Figures]]
MEASURES: Mapping[str, Inside] = {
    **GUARDING,
    "layers": layers,
    "layers_stream": layers_stream,
    "resolve": resolve,
    "few_clients": few_clients,
    "many_clients": many_clients,
    "growth": growth,
    "reuse_sequential": reuse_sequential,
    "reuse_demo": reuse_demo,
}
