from __future__ import annotations

import importlib
import signal
import subprocess
import sys
import threading
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from typing_extensions import override

from loomwire.application.forks import _renew_all
from loomwire.application.generation import Generation
from loomwire.application.memory.gate import MemoryGate
from loomwire.application.memory.manager import MemoryManager
from loomwire.application.state.stats import CallStats
from loomwire.domain.caching.policies import MemoryPolicy
from loomwire.domain.config import Snapshot
from loomwire.domain.ports.memory import MemorySample
from loomwire.domain.pricing import NO_USAGE, Cost
from support.forking import is_true_in_child
from support.memory import StagedProbe


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


class Slow(MetaPathFinder, Loader):
    """Offers one module, whose import takes a while."""

    def __init__(self) -> None:
        self.begun, self.forked = threading.Event(), threading.Event()

    @override
    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname == "slow_part" else None

    @override
    def exec_module(self, module: ModuleType) -> None:
        self.begun.set()
        self.forked.wait(0.3)


class ImportingProbe(StagedProbe):
    """Imports a module when it looks, as ours does."""

    @override
    def sample(self, limit_bytes: int | None) -> MemorySample:
        importlib.import_module("slow_part")
        return super().sample(limit_bytes)


def test_a_child_that_is_forked_while_the_first_look_imports_can_import_the_same() -> None:
    slow = Slow()
    sys.meta_path.insert(0, slow)
    manager = MemoryManager(ImportingProbe(), MemoryGate(), MemoryPolicy())

    def looks_too() -> bool:
        # A lock that was inherited is released by nobody.
        signal.alarm(10)
        slow.forked.set()
        manager.look()
        return manager.report().sample is not None

    try:
        looking = threading.Thread(target=manager.look)
        looking.start()
        assert slow.begun.wait(10)
        assert is_true_in_child(looks_too)
        slow.forked.set()
        looking.join()
    finally:
        sys.meta_path.remove(slow)
        sys.modules.pop("slow_part", None)
    assert manager.report().sample is not None


IMPORTING = """
import loomwire.application.forks as forks
import logging, os, threading

held = threading.Event()


def imports():
    with forks.NO_FORK:
        held.set()
        forking.wait(0.3)
        logging.getLogger("late")


forking = threading.Event()
thread = threading.Thread(target=imports)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    logging.getLogger("later")
    os._exit(0)
thread.join()
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_and_a_thread_that_imports_do_not_wait_for_each_other() -> None:
    assert subprocess.run([sys.executable, "-c", IMPORTING], timeout=30, check=False).returncode == 0
