from __future__ import annotations

import gc
import json
import logging
import queue
import weakref

import pytest
from typing_extensions import override

from loomwire.application.memory.gate import ALL_REFUSED, OPEN, PATIENT_REFUSED, UNSEEN, MemoryGate
from loomwire.application.memory.levels import Pressure
from loomwire.application.memory.manager import MemoryManager
from loomwire.application.memory.report import LevelChange
from loomwire.domain.caching.policies import MemoryPolicy
from support.forking import is_true_in_child
from support.memory import MIB, Hoard, StagedLevel, StagedProbe, StagedStores, watchers

SOON_S = 10.0


class Scene:
    """A process whose memory a test sets, and its manager."""

    def __init__(self, policy: MemoryPolicy = MemoryPolicy(), *, draw: float = 0.5) -> None:
        self.probe = StagedProbe()
        self.gate = MemoryGate()
        self.cache = StagedLevel(30)
        self.time = 100.0
        stores = StagedStores(self.cache)
        self.manager = MemoryManager(self.probe, self.gate, policy, stores, now=lambda: self.time, draw=lambda: draw)

    def after(self, *rss: int) -> list[Pressure]:
        """Return the levels after looks at these MiB of 100, a second apart."""
        found = []
        for self.probe.rss in rss:
            self.time += 1
            self.manager.look()
            found.append(self.manager.level)
        return found


def test_levels_follow_the_looks_and_act_at_once() -> None:
    scene = Scene()
    assert scene.after(50, 75) == ["normal", "soft"]
    assert (scene.gate.level, scene.cache.held < 30) == (OPEN, True)
    assert scene.after(85) == ["high"]
    assert (scene.gate.level, scene.cache.held) == (PATIENT_REFUSED, 0)
    assert scene.after(95, 95) == ["critical", "critical"]
    assert scene.gate.level == ALL_REFUSED
    assert scene.after(50, 50, 50) == ["high", "soft", "normal"]
    assert (scene.gate.level, scene.cache.shares[-1] > 0) == (OPEN, True)


def test_a_guessed_limit_never_refuses_a_call() -> None:
    scene = Scene()
    scene.probe.source = "machine"
    assert scene.after(99, 500) == ["high", "high"]
    assert (scene.gate.level, scene.cache.held) == (OPEN, 0)


def test_the_configured_limit_goes_to_the_probe() -> None:
    scene = Scene(MemoryPolicy(limit_bytes=20 * MIB))
    assert scene.after(19) == ["critical"]
    sample = scene.manager.report().sample
    assert sample is not None
    assert (sample.limit_bytes, sample.source) == (20 * MIB, "configured")


def test_listeners_and_the_log_hear_of_every_change_and_of_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    scene, heard = Scene(), list[LevelChange]()
    remove = scene.manager.on_change(heard.append)
    with caplog.at_level(logging.INFO, "loomwire.memory"):
        scene.after(10, 75, 75, 10)
        remove()
        scene.after(75)
    assert [(change.old, change.new, change.at) for change in heard] == [
        ("normal", "soft", 102.0),
        ("soft", "normal", 104.0),
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]


def test_a_listener_may_ask_the_manager() -> None:
    scene, heard = Scene(), list[Pressure]()
    scene.manager.on_change(lambda _: heard.append(scene.manager.report().level))
    scene.after(75)
    assert heard == ["soft"]


def test_a_process_that_cannot_be_looked_at_is_left_alone_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    scene, heard = Scene(), list[LevelChange]()
    scene.manager.on_change(heard.append)
    with caplog.at_level(logging.WARNING, "loomwire.memory"):
        scene.after(95)
        scene.probe.broken = OSError("secret")
        assert scene.after(95, 95) == ["normal", "normal"]
    assert (scene.gate.level, scene.cache.shares[-1]) == (OPEN, 1.0)
    assert [change.new for change in heard] == ["critical", "normal"]
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert lines[1:] == ["memory is not watched: this process cannot be looked at (OSError)"]
    with caplog.at_level(logging.INFO, "loomwire.memory"):
        scene.probe.broken = None
        assert scene.after(10) == ["normal"]
    assert caplog.records[-1].getMessage() == "the memory of this process can be looked at again"
    report = scene.manager.report()
    assert (report.looks, report.failures) == (4, 2)


def test_a_process_that_could_never_be_looked_at_has_a_report_too() -> None:
    scene = Scene()
    scene.probe.broken = RuntimeError()
    assert scene.after(10) == ["normal"]
    report = scene.manager.report()
    assert (report.sample, report.to_dict()["process"], report.failures) == (None, None, 1)


def test_the_report_tells_who_holds_what_and_what_was_done() -> None:
    scene = Scene()
    hoard = Hoard(2 * MIB)
    remove = scene.manager.register(hoard)
    with scene.manager.track_memory_usage("report", 5 * MIB):
        scene.probe.gives = 7
        scene.after(10, 85)
        scene.time += 3
        report = scene.manager.report()
    assert (report.level, report.level_s, report.looks) == ("high", 3.0, 2)
    assert [(held.name, held.held_bytes) for held in report.holders] == [("hoard", 2 * MIB), ("caches", 0)]
    assert report.operations["report"].held_bytes == 5 * MIB
    assert [looked.sample.rss_bytes for looked in report.samples] == [10 * MIB, 85 * MIB]
    assert (hoard.shares, report.actions[-1].freed_bytes) == ([1.0, 0.0], 7 * MIB)
    told = json.loads(json.dumps(report.to_dict()))
    assert told["schema"] == "loomwire/memory/1"
    assert told["process"] == {
        "rss_bytes": 85 * MIB,
        "limit_bytes": 100 * MIB,
        "share": 0.85,
        "source": "cgroup",
        "available_bytes": None,
    }
    assert told["samples"][-1] == {"rss_bytes": 85 * MIB, "level": "high", "ago_s": 3.0}
    assert told["changes"][0]["new"] == "high"
    remove()
    assert [held.name for held in scene.manager.report().holders] == ["caches"]


def test_histories_are_bounded() -> None:
    scene = Scene()
    scene.after(*[10, 75] * 100)
    report = scene.manager.report()
    assert (len(report.samples), len(report.changes), len(report.actions), report.looks) == (120, 32, 32, 200)


def test_looks_are_spread_by_a_fifth() -> None:
    waits = [Scene(MemoryPolicy(interval_s=10), draw=draw).manager.wait_s() for draw in (0.0, 0.5, 1.0)]
    assert waits == pytest.approx([8.0, 10.0, 12.0])


def test_the_first_call_begins_the_looking_and_closing_ends_it() -> None:
    scene, heard = Scene(MemoryPolicy(interval_s=0.01)), queue.SimpleQueue[LevelChange]()
    scene.manager.on_change(heard.put)
    scene.manager.arm()
    assert (scene.gate.level, scene.manager.running) == (UNSEEN, False)
    scene.probe.rss = 95
    assert scene.gate.refusal("balanced") is None
    assert heard.get(timeout=SOON_S).new == "critical"
    assert scene.gate.refusal("balanced") is not None
    assert scene.manager.report().running
    scene.manager.close()
    assert (scene.manager.running, scene.gate.level) == (False, OPEN)


def test_a_closed_manager_never_looks_again() -> None:
    scene = Scene()
    scene.manager.arm()
    scene.manager.close()
    scene.manager.close()
    scene.manager.start()
    scene.manager.arm()
    scene.manager.look()
    assert (scene.manager.running, scene.gate.level, scene.probe.looks) == (False, OPEN, 0)
    scene.manager.after_fork()
    assert scene.gate.level == OPEN


def test_a_look_before_the_first_call_that_finds_little_left_begins_the_looking() -> None:
    scene = Scene()
    scene.manager.arm()
    assert scene.after(10) == ["normal"]
    assert (scene.manager.running, scene.gate.level) == (False, UNSEEN)
    scene.after(95)
    assert (scene.manager.running, scene.gate.level) == (True, ALL_REFUSED)
    scene.manager.close()


def test_another_policy_holds_at_once() -> None:
    scene, heard = Scene(MemoryPolicy(interval_s=3600)), queue.SimpleQueue[LevelChange]()
    scene.manager.on_change(heard.put)
    scene.probe.rss = 60
    scene.manager.start()
    scene.manager.adapt(MemoryPolicy(interval_s=3600))
    tight = MemoryPolicy(soft=0.5, interval_s=1800)
    scene.manager.adapt(tight)
    assert heard.get(timeout=SOON_S).new == "soft"
    assert (scene.manager.policy, scene.manager.wait_s()) == (tight, 1800.0)
    scene.manager.close()


def test_the_looking_ends_with_the_last_who_holds_the_gate() -> None:
    scene = Scene()
    scene.manager.arm()
    assert scene.gate.refusal("balanced") is None
    held, gate = weakref.ref(scene.manager), scene.gate
    (thread,) = watchers()
    del scene
    gc.collect()
    assert held() is not None
    del gate
    gc.collect()
    assert held() is None
    thread.join(SOON_S)
    assert not thread.is_alive()


def test_a_manager_whose_gate_is_gone_still_tells() -> None:
    scene = Scene()
    scene.gate = MemoryGate()
    gc.collect()
    scene.manager.arm()
    scene.manager.close()
    assert scene.manager.report().level == "normal"


def test_a_child_begins_anew_with_its_first_call() -> None:
    scene = Scene()
    scene.manager.arm()
    scene.gate.refusal("balanced")
    scene.after(95)

    def child() -> bool:
        idle = not scene.manager.running and scene.gate.level == UNSEEN
        admitted = scene.gate.refusal("balanced") is None
        return idle and admitted and scene.manager.running

    assert is_true_in_child(child)
    assert scene.gate.level == ALL_REFUSED
    scene.manager.close()


def test_a_manager_that_was_never_armed_stays_so_in_a_child() -> None:
    scene = Scene()
    assert is_true_in_child(lambda: scene.gate.level == OPEN)
    scene.manager.after_fork()
    assert (scene.gate.level, scene.manager.running) == (OPEN, False)


async def test_everything_but_a_look_may_be_done_on_an_event_loop() -> None:
    scene = Scene()
    scene.manager.arm()
    assert scene.gate.refusal("balanced") is None
    with scene.manager.track_memory_usage("report", 1):
        assert scene.manager.report().running
    scene.manager.adapt(MemoryPolicy(soft=0.6))
    scene.manager.close()
    assert not scene.manager.running


def test_what_caches_give_back_is_looked_for_before_a_call_is_refused() -> None:
    scene, heard = Scene(), list[tuple[Pressure, Pressure]]()
    scene.manager.on_change(lambda change: heard.append((change.old, change.new)))
    scene.probe.gives = 40
    assert scene.after(95) == ["high"]
    assert (scene.gate.level, scene.cache.held, heard) == (PATIENT_REFUSED, 0, [("normal", "high")])
    assert [looked.sample.rss_bytes for looked in scene.manager.report().samples] == [55 * MIB]


def test_calls_are_refused_at_once_where_nothing_is_left_to_give_back() -> None:
    scene = Scene()
    assert scene.after(85, 95) == ["high", "critical"]
    assert scene.gate.level == ALL_REFUSED


def test_while_calls_are_refused_it_looks_as_often_as_they_may_come_again() -> None:
    scene = Scene(MemoryPolicy(interval_s=30))
    scene.after(95)
    assert scene.manager.wait_s() == 1.0
    scene.after(75)
    assert scene.manager.wait_s() == 30.0


def test_a_process_that_keeps_what_it_freed_does_not_refuse_calls_for_ever() -> None:
    scene = Scene()
    found = scene.after(95, *[85] * 20)
    assert (found[11], found[12], found[-1], scene.gate.level) == ("critical", "high", "high", PATIENT_REFUSED)
    assert scene.after(91, *[85] * 11) == ["critical"] * 12


def test_a_handler_of_the_log_that_fails_ends_no_looking(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(logging.Filter):
        @override
        def filter(self, record: logging.LogRecord) -> bool:
            raise ValueError

    scene, heard = Scene(MemoryPolicy(interval_s=0.01)), queue.SimpleQueue[LevelChange]()
    scene.manager.on_change(heard.put)
    failing = Failing()
    logging.getLogger("loomwire.memory").addFilter(failing)
    try:
        scene.probe.rss = 95
        scene.manager.start()
        assert heard.get(timeout=SOON_S).new == "critical"
        scene.probe.rss = 10
        assert heard.get(timeout=SOON_S).new == "high"
    finally:
        logging.getLogger("loomwire.memory").removeFilter(failing)
        scene.manager.close()


def test_a_call_after_one_for_which_there_was_no_thread_tries_again() -> None:
    class Full(MemoryManager):
        has_room = False

        @property
        @override
        def running(self) -> bool:
            return self.has_room and super().running

    gate = MemoryGate()
    manager = Full(StagedProbe(), gate)
    manager.arm()
    assert (gate.refusal("balanced"), gate.level) == (None, UNSEEN)
    manager.has_room = True
    assert (gate.refusal("balanced"), gate.level, manager.running) == (None, OPEN, True)
    manager.close()
