from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from loomwire.application.agents.executor import AgentExecutor
from loomwire.application.agents.tool_pipeline import ToolPipeline
from loomwire.application.clients.typed import TypedLLMClient
from loomwire.application.pinned import PinnedRegistry
from loomwire.application.registry import ClientRegistry
from loomwire.domain.errors import ClientRemovedError, LLMError, StreamInterruptedError
from loomwire.domain.events import Finished, StreamEvent, TextDelta
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.infrastructure.outputs.pydantic_schemas import PydanticOutputSchemas
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.testing import ScriptedClient
from support.chains import HI, BreakingClient, hanging, never, registry_of, turns

INTEGER = PydanticOutputSchemas().schema_for(int)
"""Made here, because the first schema of a process makes pydantic read files."""


class Stalled(ILLMClient, LLMStream):
    """Streams one word and then nothing."""

    left = 0

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        raise NotImplementedError

    @override
    @asynccontextmanager
    async def stream(self, request: LLMRequest) -> AsyncGenerator[LLMStream]:
        try:
            yield self
        finally:
            self.left += 1

    @override
    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        yield TextDelta("one ")
        await never()

    @property
    @override
    def response(self) -> LLMResponse[str]:
        raise StreamInterruptedError("not read to its end")


def closed(registry: ClientRegistry) -> None:
    """Close as a container does whose time to drain is over."""
    registry.close()
    registry.calls.end()


async def test_a_read_that_waits_is_ended_with_a_typed_error_and_the_stream_is_left() -> None:
    leaf = Stalled()
    registry = registry_of(leaf, "planner")
    seen: list[str] = []
    contexts: list[BaseException | None] = []

    async def read() -> None:
        async with registry.client("planner").stream(HI) as stream:
            assert (stream.finished, stream.error) == (False, None)
            try:
                async for event in stream:
                    assert isinstance(event, TextDelta)
                    seen.append(event.text)
            except LLMError as error:
                contexts.append(error.__context__)
                seen.append(error.reason)
                raise

    reading = asyncio.create_task(read())
    await turns()
    closed(registry)
    with pytest.raises(ClientRemovedError, match="ended because its container was closed"):
        await reading
    assert (seen, contexts) == (["one ", "closed"], [None])
    assert (leaf.left, registry.calls.in_flight, registry.generation.leases) == (1, 0, 0)


async def test_code_of_the_caller_between_two_reads_is_never_cancelled() -> None:
    registry, go_on = registry_of(ScriptedClient("one two"), "planner"), asyncio.Event()

    async def read() -> str:
        async with registry.client("planner").stream(HI) as stream:
            await go_on.wait()
            with pytest.raises(ClientRemovedError):
                await anext(aiter(stream))
        return "as it liked"

    reading = asyncio.create_task(read())
    await turns()
    closed(registry)
    await turns()
    go_on.set()
    assert await reading == "as it liked"


async def test_a_stream_may_be_read_by_another_task_than_the_one_that_entered_it() -> None:
    registry = registry_of(Stalled(), "planner")
    async with registry.client("planner").stream(HI) as stream:
        events = aiter(stream)
        assert await asyncio.create_task(_next(events)) == TextDelta("one ")
        reading = asyncio.create_task(_next(events))
        await turns()
        closed(registry)
        with pytest.raises(ClientRemovedError):
            await reading
        assert reading.cancelling() == 0


async def _next(events: AsyncIterator[StreamEvent]) -> StreamEvent:
    return await anext(events)


async def test_a_stream_that_is_being_entered_is_ended_too() -> None:
    registry = registry_of(hanging(), "planner")
    entering = asyncio.create_task(registry.client("planner").stream(HI).__aenter__())
    await turns()
    closed(registry)
    with pytest.raises(ClientRemovedError) as caught:
        await entering
    assert caught.value.__context__ is None
    assert (registry.calls.in_flight, registry.generation.leases) == (0, 0)


async def test_a_call_is_ended_without_a_trace_of_the_cancellation_that_did_it() -> None:
    registry = registry_of(hanging(), "planner")
    call = asyncio.create_task(registry.client("planner").generate(HI))
    await turns()
    closed(registry)
    with pytest.raises(ClientRemovedError) as caught:
        await call
    assert (caught.value.__context__, caught.value.__cause__, call.cancelling()) == (None, None, 0)
    assert (registry.calls.in_flight, registry.generation.leases) == (0, 0)


async def test_a_typed_call_is_ended_between_its_answers_too() -> None:
    registry = registry_of(hanging(), "planner")
    typed = TypedLLMClient(registry.client("planner"), INTEGER, SystemClock())
    call = asyncio.create_task(typed.generate(HI))
    await turns()
    closed(registry)
    with pytest.raises(ClientRemovedError):
        await call


async def test_a_run_of_an_agent_is_ended_with_whatever_it_waits_for() -> None:
    registry = registry_of(hanging(), "planner")
    agent = AgentExecutor(registry.client("planner"), ToolPipeline(clock=SystemClock()))
    run = asyncio.create_task(agent.run(HI))
    await turns()
    assert registry.calls.in_flight == 1
    closed(registry)
    with pytest.raises(ClientRemovedError) as caught:
        await run
    assert (caught.value.__context__, registry.generation.leases) == (None, 0)


async def test_a_pinned_call_is_one_of_the_containers() -> None:
    registry = registry_of(hanging(), "planner")
    call = asyncio.create_task(PinnedRegistry(registry, registry.generation).client("planner").generate(HI))
    await turns()
    assert registry.calls.in_flight == 1
    closed(registry)
    with pytest.raises(ClientRemovedError):
        await call


async def test_a_lease_taken_before_the_container_closed_is_refused_after_it() -> None:
    registry = registry_of(ScriptedClient(), "planner")
    lease = registry.lease("planner")
    registry.close()
    with pytest.raises(ClientRemovedError, match="asked after its container was closed"), lease:
        raise AssertionError
    assert registry.generation.leases == 0


async def test_a_stream_tells_what_the_stream_below_tells() -> None:
    registry = registry_of(ScriptedClient("one two"), "planner")
    async with registry.client("planner").stream(HI) as stream:
        events = [event async for event in stream]
        assert events[-1] == Finished("stop")
        assert (stream.response.text, stream.finished, stream.error) == ("one two", True, None)
    broken = registry_of(BreakingClient(), "planner")
    async with broken.client("planner").stream(HI) as stream:
        events_of_broken = aiter(stream)
        await anext(events_of_broken)
        with pytest.raises(StreamInterruptedError):
            await anext(events_of_broken)
        assert isinstance(stream.error, StreamInterruptedError)
