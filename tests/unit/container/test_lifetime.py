"""What a container leaves behind when nobody closes it."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typing_extensions import override

from loomwire import ILLMClient, LLMContainer, LLMRequest
from loomwire.container.lifetime import watcher_of
from loomwire.domain.config import Snapshot
from loomwire.domain.errors import WiringError
from loomwire.domain.events import TextDelta
from loomwire.domain.ports.config import ConfigReading, IConfigSource
from loomwire.testing import FakeProvider, ScriptedClient
from support.chains import parts
from support.folders import folder, served
from support.reloading import client, named, store_of

HI = LLMRequest.of("Hi")
OURS = ("loomwire", "loomwire-watch")


def held() -> tuple[int, int]:
    """Return how many descriptors the process holds, and how many of them are inotify's."""
    links: list[str] = []
    for each in Path("/proc/self/fd").iterdir() if Path("/proc/self/fd").is_dir() else ():
        try:
            links.append(str(each.readlink()))
        except OSError:
            continue  # the listing's own
    return len(links), sum("inotify" in link for link in links)


def threads() -> int:
    """Return how many threads of containers, and of watchdog for them, are alive."""
    return sum(each.name in OURS or "notify" in type(each).__name__ for each in threading.enumerate())


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.005)


@contextmanager
def warned(count: int = 1) -> Iterator[list[str]]:
    """Collect what is said about dropped containers until the end of the block, where so much garbage is waited for."""
    gc.collect()
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        yield said

        def complete() -> bool:
            gc.collect()
            said[:] = [str(each.message) for each in caught if issubclass(each.category, ResourceWarning)]
            return len(said) >= count

        # A thread that ends its last reading still holds the container.
        eventually(complete)


def test_containers_that_are_dropped_leave_no_thread_no_descriptor_and_a_warning(tmp_path: Path) -> None:
    root = folder(tmp_path / "conf")
    LLMContainer.open(root).close()  # imports, and what they keep open
    gc.collect()
    before, at_work = held(), threads()
    with warned(20) as said:
        for _ in range(20):
            LLMContainer.open(root).sync_client("planner").generate(HI)
    eventually(lambda: threads() <= at_work and all(now <= then for now, then in zip(held(), before, strict=True)))
    assert len(said) == 20
    assert all("was dropped without close()" in each and "`with LLMContainer.open(...)`" in each for each in said)
    assert str(root) in said[0]


def test_one_that_is_closed_or_runs_nothing_is_dropped_without_a_word(tmp_path: Path) -> None:
    root = folder(tmp_path / "conf")
    with warned(0) as said:
        LLMContainer.open(root).close()
        LLMContainer.open(root, watch=False)
        asyncio.run(_opened_and_left(root))
    assert said == []


def test_a_client_outlives_its_dropped_container_and_follows_edits(tmp_path: Path) -> None:
    root = folder(tmp_path / "conf")
    at_work = threads()

    def used() -> None:
        planner = LLMContainer.open(root).sync_client("planner")
        gc.collect()
        assert planner.generate(HI).text == "Hello."
        folder(root, [{"text": "Edited.", "repeat": True}])
        eventually(lambda: planner.generate(HI).text == "Edited.")

    with warned() as said:
        used()
    eventually(lambda: threads() <= at_work)
    assert len(said) == 1


async def test_calls_and_streams_in_flight_of_a_dropped_container_end_as_if_it_were_there(tmp_path: Path) -> None:
    async with FakeProvider("First.", "Second.") as provider:
        opened = await asyncio.to_thread(LLMContainer.open, served(tmp_path / "conf", provider.base_url))
        pointer = weakref.ref(opened)
        streaming = opened.resolve(ILLMClient, "planner").stream(HI)
        calling = opened.llm_client("planner").generate(HI)
        del opened
        await asyncio.sleep(0)  # the loop's own hold on what the thread gave
        eventually(lambda: gc.collect() >= 0 and pointer() is None)  # the executor's thread lets go when it likes
        async with streaming as stream:
            gc.collect()
            assert "".join([event.text async for event in stream if isinstance(event, TextDelta)]) == "First."
        assert (await calling).text == "Second."
        with warned() as said:
            del streaming, stream, calling
            await asyncio.sleep(0)
        assert len(said) == 1


def test_a_pinned_run_keeps_what_it_needs(tmp_path: Path) -> None:
    with warned() as said:
        with LLMContainer.open(folder(tmp_path / "conf")).pinned() as run:
            gc.collect()
            assert run.sync_client("planner").generate(HI).text == "Hello."
            assert said == []
        del run
    assert len(said) == 1


def test_a_container_that_listens_to_itself_is_collected_too(tmp_path: Path) -> None:
    def opened() -> None:
        container = LLMContainer.open(folder(tmp_path / "conf"))
        container.on_config_updated(lambda *_: container.check_wiring())

    at_work = threads()
    with warned() as said:
        opened()
    eventually(lambda: threads() <= at_work)
    assert len(said) == 1


def test_a_watcher_does_not_keep_what_it_reloads_and_does_nothing_without_it(tmp_path: Path) -> None:
    with LLMContainer.open(folder(tmp_path / "conf"), watch=False) as container:
        store, registry = store_of(named(client("planner"), digest="one"))
        watcher = watcher_of(container.wiring.config_source(), store)
        assert watcher is not None
        pointer = weakref.ref(store)
        del store, registry
        gc.collect()
        assert pointer() is None
        watcher.start()
        eventually(lambda: watcher.status.reads > 0)
        assert watcher.status.failures == 0
        assert watcher.end_soon()
        assert not watcher.end_soon()
        assert not watcher.status.running


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_may_drop_what_it_inherited_without_harm_to_the_parent(tmp_path: Path) -> None:
    container = LLMContainer.open(folder(tmp_path / "conf"))
    planner = container.sync_client("planner")
    planner.generate(HI)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
        if not child:
            del planner, container
            gc.collect()
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert planner.generate(HI).text == "Hello."
    container.close()


class OwnSource(IConfigSource):
    """A host's own."""

    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        return ConfigReading("one", before or Snapshot(digest="one", clients={}, models={}))


def test_a_source_that_nobody_can_watch_is_refused_unless_watching_is_off(tmp_path: Path) -> None:
    with pytest.raises(WiringError, match="OwnSource reads a configuration, and nobody can tell") as caught:
        LLMContainer.open(tmp_path, overrides={"config_source": OwnSource()})
    assert "watch=False" in str(caught.value)
    with LLMContainer.open(tmp_path, watch=False, overrides={"config_source": OwnSource()}) as container:
        assert container.reload().outcome == "unchanged"


def test_a_configuration_in_code_has_nothing_to_watch_and_its_drop_says_code(tmp_path: Path) -> None:
    def asked() -> None:
        written = {"snapshot": named(client("planner"), digest="code"), "client_factory": parts(leaf).factory}
        container = LLMContainer.open(tmp_path, overrides=written)
        assert container.health().watcher is None
        assert container.sync_client("planner").generate(HI).text == "Hello."

    leaf = ScriptedClient("Hello.")
    with warned() as said:
        asked()
    assert [each.split(" was ")[0] for each in said] == ["the container of 'code'"]


async def _opened_and_left(root: Path) -> None:
    async with LLMContainer.aopen(root) as container:
        assert not container.closed


async def test_a_pinned_run_is_no_call_so_closing_does_not_wait_for_it(tmp_path: Path) -> None:
    container = await asyncio.to_thread(LLMContainer.open, folder(tmp_path), watch=False)
    with container.pinned():
        await asyncio.wait_for(container.aclose(drain=60), 10)
        assert container.health().in_flight == 1
    assert container.health().in_flight == 0
