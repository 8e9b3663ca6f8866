from __future__ import annotations

import threading

from loomwire.application.forks import _renew_all
from loomwire.application.generation import Generation
from loomwire.application.state.stats import CallStats
from loomwire.domain.config import Snapshot
from loomwire.domain.pricing import NO_USAGE, Cost


def test_a_child_counts_on_although_the_parents_locks_were_held() -> None:
    stats = CallStats()
    tally = stats.tally("client:planner")
    tally.answered(0.1, NO_USAGE, Cost(1))
    held: list[threading.Lock] = [stats._lock, tally._lock]
    for lock in held:
        lock.acquire()
    _renew_all()
    tally.answered(0.1, NO_USAGE, Cost(1))
    assert stats.counts("client:planner").answered == 2


def test_a_child_has_none_of_its_parents_calls_in_flight() -> None:
    generation = Generation(1, Snapshot(digest="", clients={}, models={}), {})
    generation.lease()
    generation._lock.acquire()
    _renew_all()
    assert generation.leases == 0
    generation.lease()
    assert generation.leases == 1
