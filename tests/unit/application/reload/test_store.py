from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest
from typing_extensions import override

from loomwire.application.pipeline import Parts
from loomwire.application.registry import ClientRegistry
from loomwire.application.reload.drains import Drains
from loomwire.application.reload.manager import LLMConfigManager
from loomwire.application.reload.results import Diff
from loomwire.application.reload.store import ConfigStore
from loomwire.application.state.stats import CallStats
from loomwire.application.state.targets import TargetStates
from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.errors import ClientRemovedError, ConfigError, LLMValidationError, UnknownNameError
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory
from loomwire.domain.reports.problems import Problem
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.testing import FakeClock, ScriptedClient
from support.chains import HI, parts, registry_of
from support.reloading import NOON, BreakingFactory, NotingPool, QueuedSource, bad, client, good, named, store_of

A, B = client("a"), client("b")
ONE = named(A, B, digest="one")


async def test_what_is_new_is_in_force_and_what_is_the_same_keeps_its_chain() -> None:
    other = client("b", "m")
    store, registry = store_of(ONE, good(named(A, other, digest="two")))
    before = dict(registry.generation.entries)
    handle = registry.client("b")
    result = store.reload()
    assert (result.outcome, result.generation, result.digest) == ("adopted", 2, "two")
    assert result.diff == Diff(changed=("b",))
    after = registry.generation.entries
    assert after["a"] is before["a"]
    assert after["b"].client is not before["b"].client
    assert (after["a"].since, after["b"].since) == (1, 2)
    assert (await handle.generate(HI)).text == "answer"


async def test_a_removed_client_refuses_new_calls_and_an_added_one_takes_them() -> None:
    store, registry = store_of(ONE, good(named(A, client("c"), digest="two")))
    gone = registry.client("b")
    assert store.reload().diff == Diff(added=("c",), removed=("b",))
    with pytest.raises(ClientRemovedError):
        await gone.generate(HI)
    assert (await registry.client("c").generate(HI)).text == "answer"


def test_the_same_content_changes_nothing() -> None:
    store, registry = store_of(ONE, good(named(client("a"), digest="one")))
    before = registry.generation
    result = store.reload()
    assert (result.outcome, result.generation) == ("unchanged", 1)
    assert registry.generation is before


def test_a_bad_edit_that_is_undone_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "loomwire.reload")
    store, _ = store_of(ONE, good(ONE), bad("x"), good(ONE), good(ONE))
    for _ in range(4):
        store.reload()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert caplog.records[1].getMessage() == "the bad edit was undone, generation 1 stays"


def test_a_bad_edit_changes_nothing_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    store, registry = store_of(ONE, bad("x"), bad("x"), bad("y"), good(ONE), bad("y"))
    told: list[tuple[str, tuple[Problem, ...]]] = []
    store.rejected.add(lambda kept, problems: told.append((kept.digest, problems)))
    outcomes = [store.reload().outcome for _ in range(3)]
    assert outcomes == ["rejected", "rejected", "rejected"]
    assert [digest for digest, _ in told] == ["one", "one"]
    assert registry.generation.number == 1
    rejection = store.rejection
    assert rejection is not None
    assert rejection.to_dict() == {
        "digest": "y",
        "when": NOON.isoformat(timespec="milliseconds"),
        "problems": 1,
        "code": "CFG001",
        "file": "config/a.yaml",
        "line": 3,
        "message": "the text breaks off",
    }
    assert "generation 1 stays: config/a.yaml:3:1: CFG001 the text breaks off" in caplog.text
    assert store.reload().outcome == "unchanged"
    assert store.rejection is None
    assert store.reload().outcome == "rejected"
    assert len(told) == 3


def test_a_rejection_without_an_error_has_no_place() -> None:
    warning = Problem("unknown_key", "odd", severity="warning")
    reading = bad("x")
    store, _ = store_of(ONE, type(reading)("x", None, (warning,)))
    assert store.reload().outcome == "rejected"
    assert store.rejection is not None
    assert (store.rejection.first, store.rejection.to_dict()["code"]) == (None, None)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (ConfigError("no key for b", reason="missing_key", hint="Set it."), "CFG013", "no key for b"),
        (ValueError("sk-secret"), "CFG050", "a client cannot be built (ValueError)"),
    ],
)
def test_a_client_that_cannot_be_built_rejects_the_whole(error: Exception, code: str, says: str) -> None:
    made = Parts(BreakingFactory(error), SystemClock(), CallStats(), TargetStates(SystemClock()))
    new = named(client("a", "x"), client("b", "bad"), digest="two")
    store, registry = store_of(ONE, good(new), made=made)
    before = registry.generation
    result = store.reload()
    assert result.outcome == "rejected"
    assert [(problem.code, problem.message) for problem in result.problems] == [(code, says)]
    assert registry.generation is before
    assert result.to_dict()["problems"] == [{"code": code, "place": "<root>", "message": says}]


def test_an_edit_that_removes_most_clients_needs_a_word() -> None:
    four = named(*(client(name) for name in "abcd"), digest="four")
    half = named(*list(four.clients.values())[:2], digest="half")
    most = named(*list(four.clients.values())[:1], digest="most")
    meant = named(*list(four.clients.values())[:1], digest="meant", allow_shrink=True)
    store, _ = store_of(four, good(most))
    result = store.reload()
    assert (result.outcome, [problem.code for problem in result.problems]) == ("rejected", ["CFG040"])
    assert result.problems[0].message == "the edit removes 3 of 4 clients (b, c, d)"
    assert store.reload(allow_shrink=True).outcome == "adopted"
    assert store_of(four, good(half))[0].reload().outcome == "adopted"
    assert store_of(four, good(meant))[0].reload().outcome == "adopted"
    three = named(*(client(name) for name in "abc"), digest="three")
    assert store_of(three, good(named(digest="none")))[0].reload().outcome == "adopted"


def test_a_file_that_lost_its_last_key_is_cut_off() -> None:
    sealed = named(A, digest="sealed", sealed=True)
    store, _ = store_of(sealed, good(named(A, digest="cut")))
    assert [problem.message for problem in store.reload().problems] == ["`end: true` is gone: the file may be cut off"]
    bare = named(A, digest="bare", sealed=True)
    cut = named(A, digest="cut")
    again, _ = store_of(bare, good(type(cut)(digest="cut", clients=cut.clients, models={})))
    assert [problem.file for problem in again.reload().problems] == [None]


def test_the_history_remembers_the_last_generations_and_says_what_they_changed() -> None:
    readings = [good(named(client("a"), digest=str(number))) for number in range(5)]
    store, _ = store_of(ONE, *readings, keep=3)
    for _ in readings:
        store.reload()
    assert [each.number for each in store.history] == [4, 5, 6]
    assert store.history[-1].to_dict() == {
        "generation": 6,
        "digest": "4",
        "when": NOON.isoformat(timespec="milliseconds"),
        "files": ["config/a.yaml"],
        "rolled_back_to": None,
        "added": [],
        "removed": [],
        "changed": ["a"],
    }


def test_a_store_without_a_source_and_one_of_a_closed_container_change_nothing() -> None:
    store, _ = store_of(ONE)
    assert store.reload().outcome == "unchanged"
    closed, registry = store_of(ONE, good(named(A, digest="two")))
    registry.close()
    assert closed.reload().outcome == "unchanged"
    assert closed.rollback(1).outcome == "unchanged"


def test_the_source_is_told_what_is_in_force() -> None:
    two = named(A, digest="two")
    registry = registry_of(ScriptedClient(), "a")
    source = QueuedSource(good(two), good(named(B, digest="three")))
    made = parts(ScriptedClient())
    store = ConfigStore(registry, source, made, Drains(NotingPool(), made.clock, lambda: registry.generation))
    first = registry.generation.snapshot
    store.reload()
    store.reload()
    assert source.befores == [first, two]


async def test_the_age_counts_from_the_swap() -> None:
    clock = FakeClock()
    store, _ = store_of(ONE, good(named(A, digest="two")), clock=clock)
    await clock.advance(5)
    assert store.age_s == 5
    store.reload()
    assert store.age_s == 0


def test_retired_generations_are_freed() -> None:
    readings = [good(named(A, client("b"), digest=str(number))) for number in range(20)]
    store, registry = store_of(ONE, *readings)
    seen = [weakref.ref(registry.generation)]
    for _ in readings:
        store.reload()
        seen.append(weakref.ref(registry.generation))
    gc.collect()
    assert [pointer() is not None for pointer in seen] == [False] * 20 + [True]


def test_reloads_from_several_threads_come_one_after_the_other() -> None:
    readings = [good(named(client("a"), digest=str(number))) for number in range(40)]
    store, registry = store_of(ONE, *readings)
    numbers: list[int] = []
    store.updated.add(lambda _, new, __: numbers.append(int(new.digest)))
    threads = [threading.Thread(target=lambda: [store.reload() for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert registry.generation.number == 41
    assert numbers == list(range(40))


def test_a_swap_is_logged_with_counts_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "loomwire.reload")
    store, _ = store_of(ONE, good(named(A, client("c"), digest="two")))
    store.reload()
    assert "configuration generation 2 is in force: 1 added, 1 removed, 0 changed" in caplog.text


def test_the_manager_shows_what_is_in_force_and_where_it_came_from() -> None:
    store, registry = store_of(ONE, good(named(A, digest="two")), bad("x"))
    manager = LLMConfigManager(registry, store)
    told: list[str] = []
    forget = manager.on_config_updated(lambda old, new, _: told.append(f"{old.digest}>{new.digest}"))
    manager.on_config_rejected(lambda kept, _: told.append(f"{kept.digest}!"))
    assert manager.get_client_config("b") == B
    assert manager.reload().outcome == "adopted"
    assert (manager.generation, manager.snapshot.digest, len(manager.history)) == (2, "two", 2)
    with pytest.raises(UnknownNameError, match="there is no client named 'b'"):
        manager.get_client_config("b")
    assert manager.reload(allow_shrink=True).outcome == "rejected"
    assert manager.rejection is not None
    forget()
    assert manager.rollback(1).generation == 3
    assert told == ["one>two", "two!"]


async def test_the_manager_never_stops_a_loop() -> None:
    store, registry = store_of(ONE)
    manager = LLMConfigManager(registry, store)
    works: list[Callable[[], object]] = [manager.reload, lambda: manager.rollback(1)]
    for work in works:
        with pytest.raises(LLMValidationError, match="inside a running event loop") as caught:
            work()
        assert caught.value.reason == "sync_in_loop"
    assert (await asyncio.to_thread(manager.reload)).outcome == "unchanged"


def test_a_client_is_the_same_when_it_is_the_same_object() -> None:
    again = ClientConfig(name="a", targets=A.targets)
    assert Diff.between(ONE, named(A, again, digest="x")) == Diff(removed=("b",), changed=("a",))


class LearningFactory(ILLMClientFactory):
    """Knows by and by more of the models named `m`."""

    def __init__(self) -> None:
        self.window: int | None = None
        self.error: ConfigError | None = None

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        if self.error is not None:
            raise self.error
        return ScriptedClient(then=f"window {config.capabilities.context_window}")

    @override
    def resolved(self, config: LLMConfig) -> LLMConfig:
        if config.model != "m":
            return config
        return replace(config, capabilities=ModelCapabilities(context_window=self.window))


def learning(*clients: ClientConfig) -> tuple[LearningFactory, ConfigStore, ClientRegistry]:
    """Return a factory that learns, and a store and a registry over clients of it."""
    factory = LearningFactory()
    store, registry = store_of(
        named(*clients, digest="one"), made=Parts(factory, SystemClock(), CallStats(), TargetStates(SystemClock()))
    )
    return factory, store, registry


async def test_what_is_newly_known_of_a_model_builds_its_clients_anew_and_no_others() -> None:
    factory, store, registry = learning(client("a", "other"), client("b", "m"))
    before = registry.generation
    assert not store.renew()
    assert registry.generation is before
    factory.window = 8
    assert store.renew()
    after = registry.generation
    assert (after.number, after.snapshot) == (before.number, before.snapshot)
    assert after.entries["a"] is before.entries["a"]
    assert (await registry.client("b").generate(HI)).text == "window 8"
    assert len(store.history) == 1


async def test_a_client_that_cannot_be_built_anew_leaves_all_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    factory, store, registry = learning(client("b", "m"))
    before, factory.window = registry.generation, 8
    factory.error = ConfigError("no", hint="none")
    assert not store.renew()
    assert registry.generation is before
    assert "a client cannot be built: no" in caplog.text


async def test_a_closed_container_builds_nothing_anew() -> None:
    factory, store, registry = learning(client("b", "m"))
    registry.close()
    factory.window = 8
    assert not store.renew()
