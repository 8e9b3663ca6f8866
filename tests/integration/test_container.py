from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from dependency_injector import containers, providers
from typing_extensions import TypedDict, override

from loomwire import ILLMClient, ILLMClientFactory, LLMContainer, LLMNode, LLMRequest, SyncLLMClient
from loomwire.application.composed import ComposedFactory
from loomwire.container.wiring import Wiring
from loomwire.domain.errors import (
    CapabilityError,
    ClientRemovedError,
    ConfigRejectedError,
    LLMError,
    LLMTimeoutError,
    LLMValidationError,
    StreamInterruptedError,
    UnknownNameError,
    WiringError,
)
from loomwire.domain.messages import Image
from loomwire.domain.policies import TransportPolicy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.events import IEventSink
from loomwire.domain.ports.output import IOutputSchemas
from loomwire.domain.ports.pool import ConnectionLease, IConnectionPool, PoolStats
from loomwire.domain.requests import Bound
from loomwire.testing import FakeClock, FakeProvider, RecordingSink, Reply, ScriptedClient
from support.chains import HI, ScriptedFactory
from support.folders import SAMPLE, folder, served


@dataclass(frozen=True)
class Item:
    """One line of an invoice."""

    name: str
    price: float


@dataclass(frozen=True)
class Invoice:
    """What the sample's reader gets out of a text."""

    customer: str
    total: float
    items: list[Item]


class Totals(TypedDict):
    """The same as a TypedDict, without the items."""

    customer: str
    total: float


class StuckPool(IConnectionPool):
    """Lends nothing and does not close."""

    def __init__(self) -> None:
        self.closings = 0

    @override
    async def acquire(
        self, base_url: str, policy: TransportPolicy = TransportPolicy(), bound: Bound | None = None
    ) -> ConnectionLease:
        raise NotImplementedError

    @override
    def release(self, lease: ConnectionLease) -> None:
        raise NotImplementedError

    @override
    def get_stats(self) -> PoolStats:
        return PoolStats()

    @override
    async def aclose(self) -> None:
        self.closings += 1
        raise OSError(f"closing {self.closings} failed")


NOTE = LLMRequest.of("Invoice for Ada: 2 notebooks 8.50, 1 pen 1.20")


def loom_threads() -> list[threading.Thread]:
    """Return the loop threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name == "loomwire"]


def descriptors() -> int:
    """Return how many files and sockets the process holds."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_host_resolves_a_client_by_name_and_gets_an_answer_a_stream_and_an_object() -> None:
    async with LLMContainer.aopen(SAMPLE) as container:
        planner = container.resolve(ILLMClient, "planner")
        answer = await planner.generate(LLMRequest.of("Plan a weekend in Lisbon"))
        assert answer.text.startswith("A weekend in Lisbon")
        async with container.llm_client("storyteller").stream(LLMRequest.of("Tell a story")) as stream:
            assert len([event async for event in stream]) > 10
        invoice = await container.typed(Invoice, "reader").generate(NOTE)
    assert stream.response.text.startswith("Mira")
    assert invoice.output == Invoice("Ada", 9.7, [Item("2 notebooks", 8.5), Item("1 pen", 1.2)])
    assert [step.target for step in invoice.steps] == ["offline/careful"]


async def test_opening_and_using_a_container_never_blocks_the_loop() -> None:
    longest = 0.0
    done = False

    async def heart() -> None:
        nonlocal longest
        loop = asyncio.get_running_loop()
        while not done:
            before = loop.time()
            await asyncio.sleep(0)
            longest = max(longest, loop.time() - before)

    beating = asyncio.create_task(heart())
    async with LLMContainer.aopen(SAMPLE) as container:
        await container.llm_client("planner").generate(HI)
    done = True
    await beating
    # blockbuster (tests/conftest.py) fails the test on any blocking call; this only shows that the loop ran meanwhile.
    assert longest > 0


def test_synchronous_code_opens_asks_and_closes_without_a_trace() -> None:
    with LLMContainer.open(SAMPLE) as container:
        container.sync_client("planner").generate(HI)
    before = descriptors()
    for _ in range(3):
        with LLMContainer.open(SAMPLE) as container:
            client = container.resolve(SyncLLMClient, "planner")
            assert client.generate(HI).text.startswith("Hello!")
            with client.stream(HI) as stream:
                assert list(stream)
    assert loom_threads() == []
    assert descriptors() == before


async def test_opening_inside_a_running_loop_names_the_async_way() -> None:
    with pytest.raises(LLMValidationError, match=r"use `async with LLMContainer\.aopen") as caught:
        LLMContainer.open(SAMPLE)
    assert caught.value.reason == "sync_in_loop"


async def test_every_port_is_handed_out(tmp_path: Path) -> None:
    async with LLMContainer.aopen(folder(tmp_path)) as container:
        assert container.resolve(IClock).now() > 0
        assert container.resolve(IConnectionPool).get_stats() == PoolStats()
        assert container.resolve(IEventSink) is container.wiring.event_sink()
        assert isinstance(container.resolve(ILLMClientFactory), ComposedFactory)
        assert container.resolve(IOutputSchemas).schema_for(int).decode('{"value": 3}') == 3
        assert container.get_service(IClock) is container.resolve(IClock)


async def test_a_lone_client_needs_no_name(tmp_path: Path) -> None:
    async with LLMContainer.aopen(folder(tmp_path)) as container:
        assert container.resolve(ILLMClient) is container.llm_client("planner")
        assert repr(container.resolve(SyncLLMClient)).startswith("Sync > planner: ")


async def test_without_a_name_several_clients_are_listed(tmp_path: Path) -> None:
    async with LLMContainer.aopen(folder(tmp_path, clients=("reader", "planner"))) as container:
        with pytest.raises(UnknownNameError, match="there are 2 clients") as caught:
            container.resolve(ILLMClient)
    assert caught.value.hint == "Use one of: planner, reader."


async def test_an_unknown_client_lists_the_names_and_the_one_probably_meant() -> None:
    async with LLMContainer.aopen(SAMPLE) as container:
        for ask in (container.llm_client, container.sync_client, lambda name: container.typed(Invoice, name)):
            with pytest.raises(UnknownNameError, match="no client named 'planer'") as caught:
                ask("planer")
            assert caught.value.hint == "Did you mean 'planner'? Configured clients: planner, reader, storyteller."


async def test_an_unknown_port_lists_the_ports(tmp_path: Path) -> None:
    async with LLMContainer.aopen(folder(tmp_path)) as container:
        with pytest.raises(UnknownNameError, match="there is no port named 'Path'") as caught:
            container.resolve(Path)
    assert "IClock" in caught.value.hint
    assert "ILLMClient," in caught.value.hint


async def test_typed_answers_take_typed_dicts_lists_and_scalars(tmp_path: Path) -> None:
    script = [{"text": '{"customer": "Ada", "total": 9.7}'}, {"text": '{"value": [1, 2]}'}, {"text": '{"value": true}'}]
    async with LLMContainer.aopen(folder(tmp_path, script)) as container:
        assert (await container.typed(Totals, "planner").generate(HI)).output == {"customer": "Ada", "total": 9.7}
        assert (await container.typed(list[int], "planner").generate(HI)).output == [1, 2]
        assert (await container.typed(bool, "planner").generate(HI)).output is True


async def test_a_node_asks_and_streams_with_what_the_workflow_knows() -> None:
    node = LLMNode("plan", client="planner", prompt="Plan a weekend in {city}")
    async with LLMContainer.aopen(SAMPLE) as container:
        assert (await node.run(container, {"city": "Porto"})).text.startswith("A weekend in Porto")
        async with node.stream(container, {"city": "Faro"}) as stream:
            _ = [event async for event in stream]
    assert stream.response.text.startswith("A weekend in Faro")


async def test_health_counts_calls_connections_and_files(tmp_path: Path) -> None:
    script = [{"text": "Hello."}, {"error": "throttled"}]
    async with LLMContainer.aopen(folder(tmp_path, script, defaults={"retry": {"attempts": 1}})) as container:
        client = container.llm_client("planner")
        await client.generate(HI)
        with pytest.raises(LLMError):
            await client.generate(HI)
        health = container.health()
    assert (health.generation, health.in_flight, health.closed) == (1, 0, False)
    assert health.clients["planner"].success_rate == 0.5
    assert health.targets["offline/helper"].errors == {"RAT001": 1}
    assert health.files == (str(tmp_path / "loomwire.yaml"),)
    assert container.health().closed
    said = json.loads(json.dumps(health.to_dict()))
    assert said["schema"] == "loomwire/health/1"
    assert said["clients"]["planner"]["answered"] == 1


async def test_overridden_parts_are_used(tmp_path: Path) -> None:
    sink, leaf = RecordingSink(), ScriptedClient("scripted words")
    overrides = {"event_sink": sink, "client_factory": providers.Object(ScriptedFactory({"helper": leaf}))}
    async with LLMContainer.aopen(folder(tmp_path), overrides=overrides) as container:
        assert (await container.llm_client("planner").generate(HI)).text == "scripted words"
    assert [record.level for record in sink.records] == ["attempt", "call"]


def test_overrides_that_do_not_exist_or_do_not_fit_come_together_in_one_error(tmp_path: Path) -> None:
    overrides = {"clok": FakeClock(), "clock": "noon", "output_schemas": 5}
    with pytest.raises(WiringError) as caught:
        LLMContainer.open(folder(tmp_path), overrides=overrides)
    assert caught.value.problems == (
        "WIR001 overrides -> clok: there is no such part; did you mean clock?",
        "WIR002 call_stats -> clock: needs IClock, gets str",
        "WIR002 target_states -> clock: needs IClock, gets str",
        "WIR002 connection_pool -> clock: needs IClock or NoneType, gets str",
        "WIR002 client_factory -> clock: needs IClock, gets str",
        "WIR002 embedding_factory -> clock: needs IClock, gets str",
        "WIR002 parts -> clock: needs IClock, gets str",
        "WIR002 container -> output_schemas: needs IOutputSchemas, gets int",
    )


def test_a_part_overridden_by_hand_can_be_checked_again(tmp_path: Path) -> None:
    with LLMContainer.open(folder(tmp_path)) as container:
        container.check_wiring()
        container.wiring.providers["clock"].override(providers.Object("noon"))
        with pytest.raises(WiringError, match="needs IClock, gets str"):
            container.check_wiring()


def test_the_wiring_is_drawn(tmp_path: Path) -> None:
    with LLMContainer.open(folder(tmp_path)) as container:
        assert "    registry --> snapshot" in container.mermaid().splitlines()


def test_a_host_embeds_the_wiring_in_its_own_container(tmp_path: Path) -> None:
    class Host(containers.DeclarativeContainer):
        root = providers.Object(folder(tmp_path))
        clock = providers.Singleton(FakeClock)
        llm = providers.Container(Wiring, config_root=root, clock=clock)

    host = Host()
    with LLMContainer(host.llm()) as container:
        assert container.resolve(IClock) is host.clock()
        assert container.names() == ("planner",)


def test_closing_ends_everything_and_may_be_said_again(tmp_path: Path) -> None:
    container = LLMContainer.open(folder(tmp_path))
    client = container.sync_client("planner")
    client.generate(HI)
    container.close()
    container.close()
    for _ in range(2):
        with pytest.raises(ClientRemovedError) as caught:
            client.generate(HI)
        assert caught.value.reason == "closed"
    assert loom_threads() == []


async def test_closing_after_an_async_close_does_nothing_more(tmp_path: Path) -> None:
    async with LLMContainer.aopen(folder(tmp_path)) as container:
        planner = container.llm_client("planner")
        await planner.generate(HI)
    await container.aclose()
    container.close()
    with pytest.raises(ClientRemovedError, match="after its container was closed"):
        await planner.generate(HI)


def test_errors_while_closing_come_together_and_everything_is_closed(tmp_path: Path) -> None:
    pool = StuckPool()
    container = LLMContainer.open(folder(tmp_path), overrides={"connection_pool": pool})
    container.sync_client("planner").generate(HI)
    with pytest.raises(ExceptionGroup, match="closing the container failed") as caught:
        container.close()
    assert [str(error) for error in caught.value.exceptions] == ["closing 1 failed"]
    assert loom_threads() == []
    assert container.health().closed
    container.close()


async def test_errors_of_an_async_close_come_together_too(tmp_path: Path) -> None:
    pool = StuckPool()
    container = await asyncio.to_thread(LLMContainer.open, folder(tmp_path), overrides={"connection_pool": pool})
    await asyncio.to_thread(container.sync_client("planner").generate, HI)
    with pytest.raises(ExceptionGroup) as caught:
        await container.aclose()
    assert [str(error) for error in caught.value.exceptions] == ["closing 1 failed", "closing 2 failed"]
    assert loom_threads() == []


async def test_a_cancelled_async_close_still_ends_the_loop_thread(tmp_path: Path) -> None:
    begun = asyncio.Event()

    class SlowPool(StuckPool):
        @override
        async def aclose(self) -> None:
            self.closings += 1
            if self.closings == 1:
                begun.set()
                await asyncio.Event().wait()

    pool = SlowPool()
    container = await asyncio.to_thread(LLMContainer.open, folder(tmp_path), overrides={"connection_pool": pool})
    await asyncio.to_thread(container.sync_client("planner").generate, HI)
    closing = asyncio.create_task(container.aclose())
    await begun.wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert loom_threads() == []


def test_a_configuration_with_problems_opens_nothing(tmp_path: Path) -> None:
    where = folder(tmp_path, clients=("planner",), models={"helper": {"provider": "nobody", "model": "m"}})
    with pytest.raises(ConfigRejectedError) as caught:
        LLMContainer.open(where)
    assert [problem.code for problem in caught.value.problems] == ["CFG030"]


def bad_input(*parts: str | Image) -> LLMRequest:
    """Make a request with a picture."""
    return LLMRequest.of("What is this?", *parts)


async def test_a_picture_for_a_model_without_vision_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    where = folder(tmp_path, model={"capabilities": {"vision": False}})
    async with LLMContainer.aopen(where) as container:
        with pytest.raises(CapabilityError, match="offline/helper cannot do what the request needs: vision"):
            await container.llm_client("planner").generate(bad_input(Image(data=b"png")))
        assert container.health().targets["offline/helper"].failed == 0


async def test_real_connections_are_reused_and_gone_after_closing(tmp_path: Path) -> None:
    async with FakeProvider(then="Hello over the wire.") as provider:
        async with LLMContainer.aopen(served(tmp_path, provider.base_url)) as container:
            planner = container.llm_client("planner")
            for _ in range(20):
                assert (await planner.generate(HI)).text == "Hello over the wire."
            async with planner.stream(HI) as stream:
                _ = [event async for event in stream]
            stats = container.health().pool
            assert (stats.total, stats.active, stats.waiting) == (21, 0, 0)
            assert stats.reuse_rate >= 0.95
        assert container.health().pool.idle == 0


async def test_a_deadline_and_a_cancellation_on_the_wire_leave_nothing_behind(tmp_path: Path) -> None:
    async with (
        FakeProvider(then=Reply("late", delay_s=30.0)) as provider,
        LLMContainer.aopen(served(tmp_path, provider.base_url)) as container,
    ):
        planner = container.llm_client("planner")
        with pytest.raises(LLMTimeoutError) as caught:
            await planner.generate(LLMRequest.of("Hi", deadline_s=0.4))
        assert caught.value.reason == "deadline"
        with pytest.raises(LLMTimeoutError):
            await planner.stream(LLMRequest.of("Hi", deadline_s=0.4)).__aenter__()
        call = asyncio.create_task(planner.generate(HI))
        await provider.until(lambda stats: stats.requests == 3)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        health = container.health()
        assert (health.in_flight, health.pool.active, health.pool.waiting) == (0, 0, 0)
        assert health.clients["planner"].cancelled == 1


async def test_a_stream_that_is_cut_on_the_wire_is_counted_as_failed(tmp_path: Path) -> None:
    async with (
        FakeProvider(Reply("one two three", cut_after=5)) as provider,
        LLMContainer.aopen(served(tmp_path, provider.base_url)) as container,
    ):
        with pytest.raises(StreamInterruptedError) as caught:
            await read_all(container.llm_client("planner"))
        assert caught.value.partial_text == "one t"
        assert container.health().clients["planner"].failed == 1


async def read_all(client: ILLMClient) -> Sequence[object]:
    """Read a stream to its end."""
    async with client.stream(HI) as stream:
        return [event async for event in stream]
