"""Chains over scripted clients: what the tests of the application layers are built from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from typing_extensions import override

from loomwire.application.generation import build_generation
from loomwire.application.pipeline import Parts, build_client
from loomwire.application.registry import ClientRegistry
from loomwire.application.state.stats import CallStats
from loomwire.application.state.targets import TargetStates
from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import ClientConfig, LLMConfig, Snapshot
from loomwire.domain.errors import LLMError, StreamInterruptedError
from loomwire.domain.events import StreamEvent, TextDelta
from loomwire.domain.policies import RetryPolicy, TimeoutPolicy
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory, LLMStream
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.events import IEventSink
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.testing import ScriptedClient

HI = LLMRequest.of("Hi")


class ScriptedFactory(ILLMClientFactory):
    """Hands out the given clients by model name."""

    def __init__(self, clients: Mapping[str, ILLMClient]) -> None:
        self.clients = clients

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        return self.clients[config.model]


def target(model: str = "m", timeouts: TimeoutPolicy | None = None, can: ModelCapabilities | None = None) -> LLMConfig:
    """Return a target on the provider `vendor` that is sent to once."""
    once = RetryPolicy(attempts=1)
    config = LLMConfig(type="scripted", name="vendor", model=model, timeouts=timeouts or TimeoutPolicy(), retry=once)
    return config if can is None else replace(config, capabilities=can)


def parts(
    clients: ILLMClient | Mapping[str, ILLMClient], clock: IClock | None = None, sinks: Sequence[IEventSink] = ()
) -> Parts:
    """Return what chains over the clients are made from; a lone client answers for the model `m`."""
    by_model = clients if isinstance(clients, Mapping) else {"m": clients}
    return Parts(
        ScriptedFactory(by_model), clock or SystemClock(), CallStats(), TargetStates(clock or SystemClock()), sinks
    )


def chain_of(
    leaf: ILLMClient,
    clock: IClock | None = None,
    sinks: Sequence[IEventSink] = (),
    *,
    config: LLMConfig | None = None,
    total_s: float = 900.0,
) -> tuple[ILLMClient, CallStats]:
    """Return a whole chain named `planner` over a leaf, and its tallies."""
    made = parts(leaf, clock, sinks)
    client = build_client(ClientConfig(name="planner", targets=(config or target(),), total_s=total_s), made)
    return client, made.stats


def snapshot(*names: str, model: str = "m", digest: str = "d") -> Snapshot:
    """Return a configuration whose clients all ask one model."""
    config = target(model)
    clients = {name: ClientConfig(name=name, targets=(config,)) for name in names}
    return Snapshot(digest=digest, clients=clients, models={model: config})


def registry_of(leaf: ILLMClient, *names: str) -> ClientRegistry:
    """Return a registry whose named clients all ask `leaf`."""
    return ClientRegistry(build_generation(1, snapshot(*names), parts(leaf)))


class BreakingClient(ILLMClient):
    """Streams one word and then breaks; keeps its streams' error where the layers look for it."""

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        raise StreamInterruptedError("broken")

    @override
    @asynccontextmanager
    async def stream(self, request: LLMRequest) -> AsyncIterator[LLMStream]:
        yield BreakingStream()


class BreakingStream(LLMStream):
    """The stream of a `BreakingClient`."""

    def __init__(self) -> None:
        self._error: LLMError | None = None

    @override
    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        yield TextDelta("one ")
        self._error = StreamInterruptedError("broken", partial_text="one ")
        raise self._error

    @property
    @override
    def response(self) -> LLMResponse[str]:
        raise StreamInterruptedError("not read to its end")

    @property
    @override
    def error(self) -> LLMError | None:
        return self._error


async def never() -> str:
    """Wait until somebody cancels."""
    await asyncio.Event().wait()
    return "never"


def hanging() -> ScriptedClient:
    """Return a client that never answers."""
    return ScriptedClient(then=lambda _: never())


async def turns(count: int = 20) -> None:
    """Let other tasks run for some turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)
