"""A container keeps its memory bounded from its first call on, and follows its configuration."""

from __future__ import annotations

import gc
import queue
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from typing_extensions import override

from loomwire import ILLMClient, LLMConfig, LLMContainer, LLMRequest
from loomwire.application.caching.semantic.memory import Asked
from loomwire.application.caching.states import CacheStates
from loomwire.application.composed import snapshot_of
from loomwire.application.memory.gate import UNSEEN
from loomwire.application.memory.manager import MemoryManager
from loomwire.application.memory.report import LevelChange
from loomwire.container.memory import keep_bounded, memory_manager
from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.caching.policies import MemoryPolicy
from loomwire.domain.errors import LoomError
from loomwire.domain.ports.memory import MemorySample
from support.commands import environment
from support.folders import folder
from support.memory import MIB, StagedProbe, watchers

RULES = {"rules": [{"when": "hi", "answer": "Hello."}]}
CLIENTS = {"greeter": LLMConfig(type="rule", model="any", options=RULES)}
SOON_S = 10.0
KEY = CacheKey("planner", b"k" * 32)


def test_a_container_begins_to_look_with_its_first_call_and_ends_with_its_closing() -> None:
    with LLMContainer.of(CLIENTS) as container:
        assert (len(watchers()), container.memory.running) == (0, False)
        container.sync_client("greeter").generate(LLMRequest.of("hi"))
        assert (len(watchers()), container.memory.running) == (1, True)
    assert (len(watchers()), container.memory.running) == (0, False)


def test_opening_a_container_imports_nothing_that_looks_at_memory(tmp_path: Path) -> None:
    code = (
        "import sys; from loomwire import LLMContainer; container = LLMContainer.open(sys.argv[1], watch=False); "
        "print('psutil' in sys.modules, container.memory.running)"
    )
    words = [sys.executable, "-c", code, str(folder(tmp_path))]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_container_that_is_short_of_memory_refuses_new_calls_until_there_is_some() -> None:
    probe = StagedProbe(rss=99)
    policy = MemoryPolicy(limit_bytes=100 * MIB, interval_s=0.005)
    snapshot = replace(snapshot_of(CLIENTS), memory=policy)
    with LLMContainer.of(CLIENTS, overrides={"memory_probe": probe, "snapshot": snapshot}) as container:
        client = container.sync_client("greeter")
        changes = queue.SimpleQueue[LevelChange]()
        container.memory.on_change(changes.put)
        client.generate(LLMRequest.of("hi"))
        assert changes.get(timeout=SOON_S).new == "critical"
        with pytest.raises(LoomError) as caught:
            client.generate(LLMRequest.of("hi"))
        assert (caught.value.reason, caught.value.retry_after) == ("memory", 1.0)
        probe.rss = 10
        assert [changes.get(timeout=SOON_S).new for _ in range(3)] == ["high", "soft", "normal"]
        assert client.generate(LLMRequest.of("hi")).text == "Hello."


def test_a_container_that_is_dropped_ends_the_looking_with_its_last_client() -> None:
    held = [LLMContainer.of(CLIENTS)]
    client = [held[0].resolve(ILLMClient, "greeter")]
    held[0].sync_client("greeter").generate(LLMRequest.of("hi"))
    held.clear()
    gc.collect()
    (watcher,) = watchers()
    with pytest.warns(ResourceWarning, match="dropped without close"):
        _drop(client)
    watcher.join(SOON_S)
    assert not watcher.is_alive()


def test_a_look_that_is_under_way_while_its_container_is_collected_is_the_last_one() -> None:
    begun, may_end = threading.Event(), threading.Event()

    class SlowProbe(StagedProbe):
        @override
        def sample(self, limit_bytes: int | None) -> MemorySample:
            begun.set()
            may_end.wait(SOON_S)
            return super().sample(limit_bytes)

    held = [LLMContainer.of(CLIENTS, overrides={"memory_probe": SlowProbe()})]
    held[0].sync_client("greeter").generate(LLMRequest.of("hi"))
    (watcher,) = watchers()
    assert begun.wait(SOON_S)
    with pytest.warns(ResourceWarning, match="dropped without close"):
        _drop(held)
    may_end.set()
    watcher.join(SOON_S)
    assert not watcher.is_alive()


def test_a_new_configuration_changes_the_running_manager(tmp_path: Path) -> None:
    with LLMContainer.open(folder(tmp_path), watch=False) as container:
        assert container.memory.policy == container.configs.snapshot.memory
        folder(tmp_path, memory={"limit": "200MiB", "soft": 0.5, "interval": 9})
        assert container.reload().outcome == "adopted"
        assert container.memory.policy == MemoryPolicy(200 * MIB, soft=0.5, interval_s=9)


def test_a_manager_that_nobody_holds_follows_nothing(tmp_path: Path) -> None:
    with LLMContainer.open(folder(tmp_path), watch=False) as container:
        parts = container.wiring.parts()
        manager: MemoryManager | None = memory_manager(replace(parts), StagedProbe(), container.configs.snapshot)
        assert manager is not None
        keep_bounded(manager, container.configs)
        assert parts.gate.level == UNSEEN
        parts.gate.disarm()
        manager = None
        gc.collect()
        folder(tmp_path, memory={"soft": 0.5})
        assert container.reload().outcome == "adopted"


async def test_a_host_that_only_keeps_values_of_its_own_has_its_memory_watched_too(tmp_path: Path) -> None:
    async with LLMContainer.aopen(folder(tmp_path), watch=False) as container:
        assert await container.cache.get("space", 1) is None
        assert not container.memory.running
        await container.cache.set("space", 1, value="x")
        assert container.memory.running


def test_what_is_remembered_for_likeness_is_held_too(tmp_path: Path) -> None:
    with LLMContainer.open(folder(tmp_path), watch=False) as container:
        assert [held.name for held in container.memory.report().holders] == ["caches"]
        states: CacheStates = container.wiring.cache_states()
        memory = states.memories.memory("planner", "numpy", b"model", 10)
        memory.hold(KEY, Asked(KEY, "What?", (1.0, 2.0)))
        assert {held.name for held in container.memory.report().holders} == {"caches", "semantic cache of planner"}
        manager = memory_manager(container.wiring.parts(), StagedProbe(rss=85), container.configs.snapshot)
        manager.look()
        assert memory.take(KEY) is None


def test_parts_without_caches_have_a_manager_too(tmp_path: Path) -> None:
    with LLMContainer.open(folder(tmp_path), watch=False) as container:
        parts = replace(container.wiring.parts(), caches=None)
        assert memory_manager(parts, StagedProbe(), container.configs.snapshot).report().holders == ()


def _drop(held: list[ILLMClient] | list[LLMContainer]) -> None:
    held.clear()
    gc.collect()
