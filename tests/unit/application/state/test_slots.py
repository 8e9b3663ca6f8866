from __future__ import annotations

import asyncio

from loomwire.application.forks import _renew_all
from loomwire.application.state.slots import LaneKey, Slots
from loomwire.domain.policies import RatePolicy
from loomwire.testing import FakeClock
from support.chains import turns

KEY = LaneKey("vendor", "1", "m")


def test_a_key_has_one_lane_for_ever_and_every_key_its_own() -> None:
    slots = Slots(FakeClock())
    lane = slots.lane(KEY, RatePolicy(rpm=60))
    assert slots.lane(LaneKey("vendor", "1", "m"), RatePolicy(rpm=60)) is lane
    assert slots.lane(LaneKey("vendor", "2", "m"), RatePolicy(rpm=60)) is not lane


async def test_a_reload_changes_the_numbers_in_place_and_keeps_what_was_used_and_who_waits() -> None:
    slots = Slots(FakeClock())
    lane = slots.lane(KEY, RatePolicy(rpm=60, concurrency=1, burst_s=60))
    grant = lane.take(0)
    waiting = asyncio.create_task(lane.wait(0))
    await turns(2)
    assert slots.lane(KEY, RatePolicy(rpm=90, concurrency=2, burst_s=60)) is lane
    await turns(2)
    assert waiting.done()
    held = slots.statistics()[KEY]
    assert (held.in_use, held.requests, lane.policy.rpm) == (2, 2, 90)
    assert grant is not None


async def test_the_fullest_of_the_limits_is_the_fill() -> None:
    slots = Slots(FakeClock())
    lane = slots.lane(KEY, RatePolicy(rpm=10, tpm=100, concurrency=8, burst_s=60))
    slots.lane(LaneKey("idle"), RatePolicy())
    lane.take(50)
    lane.take(20)
    statistics = slots.statistics()
    assert (statistics[KEY].fill, statistics[LaneKey("idle")].fill) == (0.7, 0.0)


def test_a_child_has_its_own_locks_and_none_of_its_parents_calls() -> None:
    slots = Slots(FakeClock())
    lane = slots.lane(KEY, RatePolicy(concurrency=1))
    lane.take(0)
    slots._lock.acquire()
    lane._lock.acquire()
    _renew_all()
    assert slots.lane(KEY, RatePolicy(concurrency=1)).take(0) is not None


def test_lanes_of_keys_that_are_gone_are_forgotten_and_those_in_use_go_on() -> None:
    slots = Slots(FakeClock())
    kept, gone = (slots.lane(LaneKey(name), RatePolicy(concurrency=1)) for name in ("kept", "gone"))
    grant = gone.take(0)
    assert grant is not None
    slots.retain({LaneKey("kept"), LaneKey("never")})
    assert [*slots.statistics()] == [LaneKey("kept")]
    gone.give_back(grant)
    assert slots.lane(LaneKey("kept"), RatePolicy(concurrency=1)) is kept
    assert slots.lane(LaneKey("gone"), RatePolicy(concurrency=1)) is not gone
