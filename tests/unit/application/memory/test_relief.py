from __future__ import annotations

from loomwire.application.memory.gate import ALL_REFUSED, OPEN, PATIENT_REFUSED, UNSEEN, MemoryGate
from loomwire.application.memory.holders import Holders
from loomwire.application.memory.levels import ORDER, Pressure
from loomwire.application.memory.relief import COLLECTED, RELEASED, SHRANK, Relief
from loomwire.application.memory.report import Action
from loomwire.domain.caching.policies import MemoryPolicy
from loomwire.domain.ports.memory import IMemoryHolder, MemorySample
from support.memory import MIB, Hoard, StagedLevel, StagedProbe, StagedStores


class Scene:
    """A process of 10 of 100 MiB, with a cache."""

    def __init__(self, held: int = 0, size: int = 40) -> None:
        self.probe = StagedProbe()
        self.gate = MemoryGate()
        self.level = StagedLevel(held, size)
        self.time = 0.0
        self.others: list[IMemoryHolder] = []
        holders = Holders(StagedStores(self.level), lambda: self.others)
        self.relief = Relief(self.probe, holders, self.gate, lambda: self.time)

    def give(self, level: Pressure, *, rises: bool = False) -> list[Action]:
        """Do what a level takes, with no garbage worth the while."""
        found = self.relief.give(level, self.probe.sample(None), MemoryPolicy(), rises=rises)
        return [action for action in found if action.what != COLLECTED]


def test_each_level_shuts_the_gate_and_the_caches_as_far_as_it_says() -> None:
    scene = Scene()
    found = []
    for level in ORDER:
        scene.give(level)
        found.append((scene.gate.level, scene.level.shares[-1:]))
    assert found == [(OPEN, []), (OPEN, [0.5]), (PATIENT_REFUSED, [0.0]), (ALL_REFUSED, [0.0])]


def test_a_guessed_limit_shuts_caches_and_refuses_no_call() -> None:
    scene = Scene()
    scene.probe.source = "machine"
    scene.give("high")
    assert (scene.gate.level, scene.level.shares) == (OPEN, [0.0])


def test_a_gate_that_waits_for_its_first_call_goes_on_waiting_until_it_is_shut() -> None:
    scene = Scene()
    scene.gate.arm(lambda: None)
    scene.give("normal")
    assert scene.gate.level == UNSEEN
    scene.give("critical")
    assert scene.gate.level == ALL_REFUSED


def test_caches_get_what_the_rest_of_the_process_leaves_below_the_first_level() -> None:
    scene = Scene(size=400)
    scene.probe.rss = 25
    scene.give("normal")
    assert scene.level.shares == [(65 - 25) / 400]


def test_a_process_that_is_too_large_by_itself_leaves_no_room() -> None:
    scene = Scene(size=400)
    scene.probe.rss = 66
    scene.give("normal")
    assert scene.level.shares == [0.0]


def test_memory_that_is_freed_and_not_yet_given_back_is_not_held_against_the_caches() -> None:
    scene = Scene(held=30, size=400)
    scene.probe.rss = 55
    scene.give("normal")
    assert scene.level.held == 30
    scene.level.held = 5
    scene.give("normal")
    assert scene.level.shares[-1] == (65 - 25) / 400


def test_what_shrank_and_what_the_system_got_back_is_told_in_bytes() -> None:
    scene = Scene(held=40)
    scene.probe.rss, scene.probe.gives = 75, 15
    done = scene.give("soft", rises=True)
    assert [(action.what, action.freed_bytes) for action in done] == [(SHRANK, 25 * MIB), (RELEASED, 15 * MIB)]
    assert done[0].to_dict(4.0) == {
        "what": SHRANK,
        "freed_bytes": 25 * MIB,
        "took_s": round(done[0].took_s, 4),
        "ago_s": 4.0,
    }


def test_freed_memory_goes_back_when_a_level_is_reached_and_then_once_a_minute() -> None:
    scene = Scene()
    released = []
    for scene.time in (0.0, 5.0, 59.0, 60.0, 65.0, 121.0):
        scene.give("soft", rises=scene.time == 0)
        released.append(scene.probe.released)
    assert released == [1, 1, 1, 2, 2, 3]
    scene.time = 1000
    scene.give("normal")
    assert scene.probe.released == 3


def test_garbage_is_collected_where_a_level_is_reached() -> None:
    scene = Scene()
    whats = [action.what for action in scene.relief.give("soft", scene.probe.sample(None), MemoryPolicy(), rises=True)]
    # A large heap of the test run itself is left alone.
    assert whats in ([COLLECTED, RELEASED], [RELEASED])


def test_a_process_that_cannot_be_looked_at_meanwhile_has_given_nothing() -> None:
    scene = Scene()
    sample = scene.probe.sample(None)
    scene.probe.broken = OSError()
    done = [*scene.relief.give("soft", sample, MemoryPolicy(), rises=True)]
    assert done[-1].freed_bytes == 0


def test_all_of_it_can_be_undone() -> None:
    scene = Scene(size=400)
    scene.give("critical")
    scene.relief.undo()
    assert (scene.gate.level, scene.level.shares[-1]) == (OPEN, 1.0)


def test_a_gate_that_nobody_holds_any_more_is_not_turned() -> None:
    scene = Scene()
    scene.gate = MemoryGate()
    assert scene.give("critical", rises=True)
    assert scene.gate.level == OPEN


def test_what_others_hold_is_no_room_for_caches() -> None:
    scene = Scene(size=400)
    scene.probe.rss = 40
    scene.others.append(hoard := Hoard(25 * MIB))
    scene.give("normal")
    assert (scene.level.shares, hoard.shares) == ([(65 - 40) / 400], [1.0])


def test_a_large_host_without_a_limit_leaves_caches_a_quarter_of_what_the_machine_has_left() -> None:
    scene = Scene(size=400)
    scene.probe.source = "machine"
    for rss, left, share in ((90, 40, 10 / 400), (90, 0, 0.0), (5, 40, 60 / 400)):
        sample = MemorySample(rss * MIB, 100 * MIB, "machine", left * MIB)
        assert [*scene.relief.give("normal", sample, MemoryPolicy(), rises=False)] == []
        assert scene.level.shares[-1] == share
    assert [*scene.relief.give("normal", MemorySample(90, 90, "machine"), MemoryPolicy(), rises=False)] == []
