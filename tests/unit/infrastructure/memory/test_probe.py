from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest
from typing_extensions import override

from loomwire.domain.ports.memory import LimitSource, MemorySample
from loomwire.infrastructure.memory.cgroups import GroupMemory
from loomwire.infrastructure.memory.probe import ProcessProbe, trimmer
from support.commands import environment
from support.forking import is_true_in_child

MIB = 1024 * 1024
TOTAL = psutil.virtual_memory().total


def look(configured: int | None, group: GroupMemory | None) -> MemorySample:
    """Look at this process."""
    return ProcessProbe(lambda: group).sample(configured)


@pytest.mark.parametrize(
    ("configured", "group", "limit", "source"),
    [
        (500, None, 500, "configured"),
        (None, GroupMemory(700, 3), 700, "cgroup"),
        (500, GroupMemory(700, 3), 500, "configured"),
        (900, GroupMemory(700, None), 700, "cgroup"),
    ],
)
def test_the_least_of_what_is_said_is_the_limit(
    configured: int | None, group: GroupMemory | None, limit: int, source: LimitSource
) -> None:
    sample = look(configured, group)
    assert (sample.limit_bytes, sample.source) == (limit, source)
    assert sample.share == sample.rss_bytes / limit


@pytest.mark.parametrize("group", [None, GroupMemory(2 * TOTAL, 3)])
def test_where_nobody_says_one_the_limit_is_what_the_process_has_and_the_machine_has_left(
    group: GroupMemory | None,
) -> None:
    sample = look(None, group)
    assert sample.available_bytes is not None
    assert (sample.limit_bytes, sample.source) == (sample.rss_bytes + sample.available_bytes, "machine")


def test_what_is_left_is_the_less_of_group_and_machine() -> None:
    assert look(None, GroupMemory(700, 3)).available_bytes == 3
    assert (look(None, GroupMemory(700, None)).available_bytes or 0) > MIB


def test_memory_that_is_taken_is_found_and_goes_back() -> None:
    probe = ProcessProbe()
    # What other tests left free would be taken first.
    probe.release()
    before = probe.sample(None).rss_bytes
    taken = [os.urandom(8000) for _ in range(5000)]
    full = probe.sample(None).rss_bytes
    assert full - before > 30 * MIB
    taken.clear()
    for _ in range(2):
        probe.release()
    assert probe.sample(None).rss_bytes - before < 10 * MIB


def test_a_child_looks_at_itself() -> None:
    probe = ProcessProbe()
    probe.sample(None)

    def child() -> bool:
        held = b"x" * (64 * MIB)
        own = psutil.Process(os.getpid()).memory_info().rss
        return abs(probe.sample(None).rss_bytes - own) < 10 * MIB < len(held)

    assert is_true_in_child(child)


def test_a_process_that_is_gone_is_an_os_error() -> None:
    class Gone(ProcessProbe):
        @override
        def _current(self) -> psutil.Process:
            raise psutil.NoSuchProcess(1)

    with pytest.raises(OSError, match="NoSuchProcess"):
        Gone().sample(None)


def test_without_a_c_library_that_gives_back_nothing_is_given_back() -> None:
    def missing() -> object:
        raise OSError

    for library in (missing, object):
        assert trimmer(library)() is None


def test_psutil_is_not_imported_before_the_first_look() -> None:
    code = (
        "import sys; from loomwire.infrastructure.memory.probe import ProcessProbe; p = ProcessProbe(); "
        "print('psutil' in sys.modules, p.sample(None).rss_bytes > 0, 'psutil' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.split() == ["False", "True", "True"]
