from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import pytest
from dependency_injector import containers, providers
from typing_extensions import override

from loomwire import IDependencyContainer, LLMContainer
from loomwire.container.parents import LentPool, parts_of
from loomwire.domain.errors import UnknownNameError, WiringError
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.events import IEventSink
from loomwire.domain.ports.output import IOutputSchemas
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.infrastructure.outputs.pydantic_schemas import PydanticOutputSchemas
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FakeClock, FakeProvider, RecordingSink
from support.chains import HI
from support.folders import folder, served

T = TypeVar("T")


class Host(IDependencyContainer):
    """A parent of no library: hands out what it was given by the port's name, and notes what it was asked for."""

    def __init__(self, **parts: object) -> None:
        self._parts = SimpleNamespace(**parts)
        self.asked: list[str] = []

    @override
    def resolve(self, port: Callable[[], T], name: str | None = None) -> T:
        self.asked.append(port.__name__)
        if not hasattr(self._parts, port.__name__):
            raise UnknownNameError(f"there is no {port.__name__} here")
        found: T = getattr(self._parts, port.__name__)
        return found


class Parts(containers.DeclarativeContainer):
    """A parent on dependency-injector, with parts of its own that have nothing to do with ours."""

    clock = providers.Singleton(FakeClock, 5.0)
    event_sink = providers.ThreadSafeSingleton(RecordingSink)
    registry = providers.Object("of another kind")
    connections = providers.Object("by another name")


def test_a_parents_parts_stand_in_for_ours_and_the_rest_is_ours(tmp_path: Path) -> None:
    clock, sink = FakeClock(5.0), RecordingSink()
    host = Host(IClock=clock, IEventSink=sink)
    with LLMContainer.open(folder(tmp_path), parent=host) as container:
        assert container.resolve(IClock) is clock
        assert container.resolve(IEventSink) is sink
        assert isinstance(container.resolve(IOutputSchemas), PydanticOutputSchemas)
        assert container.sync_client("planner").generate(HI).text == "Hello."
        assert [record.client for record in sink.calls] == ["planner"]
        container.check_wiring()
    assert host.asked == ["IClock", "IConnectionPool", "IEventSink", "IOutputSchemas"]


async def test_a_container_of_dependency_injector_is_asked_by_name(tmp_path: Path) -> None:
    parts = Parts()
    async with LLMContainer.aopen(await asyncio.to_thread(folder, tmp_path), parent=parts) as container:
        assert container.resolve(IClock) is parts.clock()
        assert container.resolve(IEventSink) is parts.event_sink()
        assert (await container.llm_client("planner").generate(HI)).text == "Hello."


def test_an_override_wins_over_the_parent_which_is_not_asked_for_it(tmp_path: Path) -> None:
    host, clock, wall = Host(IClock="noon"), FakeClock(), RecordingSink()
    overrides = {"clock": clock, "event_sink": providers.Object(wall)}
    with LLMContainer.open(folder(tmp_path), parent=host, overrides=overrides) as container:
        assert container.resolve(IClock) is clock
        assert container.resolve(IEventSink) is wall
    assert host.asked == ["IConnectionPool", "IOutputSchemas"]


def test_parts_of_the_wrong_type_come_together_in_one_error(tmp_path: Path) -> None:
    host = Host(IClock="noon", IConnectionPool=None, IEventSink=RecordingSink())
    with pytest.raises(WiringError, match="the parent's parts cannot be used: WIR002 parent -> clock") as caught:
        LLMContainer.open(folder(tmp_path), parent=host)
    assert caught.value.problems == (
        "WIR002 parent -> clock: needs IClock, gets str",
        "WIR002 parent -> connection_pool: needs IConnectionPool, gets NoneType",
    )


def test_a_parent_that_is_no_container_is_refused(tmp_path: Path) -> None:
    untyped = SimpleNamespace(parent="a name")
    with pytest.raises(WiringError, match=r"WIR002 parent: needs IDependencyContainer or .*, gets str"):
        LLMContainer.open(folder(tmp_path), parent=untyped.parent)
    # The class where an object of it was meant.
    for untyped in (SimpleNamespace(parent=Host), SimpleNamespace(parent=Parts)):
        with pytest.raises(WiringError, match=r"WIR002 parent: .*, gets the class (Host|Parts)"):
            LLMContainer.open(folder(tmp_path), parent=untyped.parent)


async def test_a_parents_failure_reaches_the_host_as_it_is(tmp_path: Path) -> None:
    class Broken(containers.DeclarativeContainer):
        clock = providers.Callable(int, "no number")

    with pytest.raises(ValueError, match="no number"):
        async with LLMContainer.aopen(await asyncio.to_thread(folder, tmp_path), parent=Broken()):
            pass


async def test_the_parents_pool_is_used_and_outlives_the_container(tmp_path: Path) -> None:
    pool = ConnectionPool()
    async with FakeProvider("one", "two", "three") as provider:
        config = await asyncio.to_thread(served, tmp_path / "a", provider.base_url)
        async with LLMContainer.aopen(config, parent=Host(IConnectionPool=pool)) as container:
            assert isinstance(container.resolve(IConnectionPool), LentPool)
            assert (await container.llm_client("planner").generate(HI)).text == "one"
            assert container.health().pool == pool.get_stats()
            await asyncio.to_thread(folder, tmp_path / "a")  # the provider leaves the configuration
            assert (await container.areload()).outcome == "adopted"
        assert pool.get_stats().idle == 1
        async with LLMContainer.aopen(
            await asyncio.to_thread(served, tmp_path / "b", provider.base_url), parent=Host(IConnectionPool=pool)
        ) as container:
            assert (await container.llm_client("planner").generate(HI)).text == "two"
            blocking = container.sync_client("planner")
            assert (await asyncio.to_thread(blocking.generate, HI)).text == "three"
        # What the container's own loop opened went with that loop; the host's connection is still the first.
        await provider.until(lambda stats: (stats.connections, stats.open_connections) == (2, 1))
        await pool.aclose()
        await provider.until(lambda stats: stats.open_connections == 0)


async def test_a_container_of_ours_can_be_the_parent_of_another(tmp_path: Path) -> None:
    first, second = [await asyncio.to_thread(folder, tmp_path / name) for name in "ab"]
    sink = RecordingSink()
    async with LLMContainer.aopen(first, overrides={"event_sink": sink}) as parent:
        async with LLMContainer.aopen(second, parent=parent) as child:
            assert child.resolve(IClock) is parent.resolve(IClock)
            assert child.resolve(IEventSink) is sink
            await child.llm_client("planner").generate(HI)
        await parent.llm_client("planner").generate(HI)
    assert len(sink.calls) == 2


def test_a_client_on_a_parents_parts_stays_in_its_process(tmp_path: Path) -> None:
    with LLMContainer.open(folder(tmp_path), parent=Host(IClock=FakeClock())) as container:
        client = container.llm_client("planner")
        with pytest.raises(TypeError):
            pickle.dumps(client)
    with LLMContainer.open(folder(tmp_path), parent=Host()) as container:
        assert pickle.dumps(container.llm_client("planner"))


def test_only_what_can_be_lent_is_taken() -> None:
    assert set(parts_of(Parts())) == {"clock", "event_sink"}
    assert parts_of(Parts(), besides=("clock", "event_sink")) == {}
