from __future__ import annotations

import logging

import pytest

from loomwire.application.memory.levels import Pressure
from loomwire.application.memory.report import LevelChange
from loomwire.application.memory.telling import ChangeListeners, line_of
from loomwire.domain.ports.memory import LimitSource
from support.memory import MIB

GUESS = "the machine has little left, which is the limit until memory.limit says another"


def change(old: Pressure, new: Pressure, source: LimitSource = "configured") -> LevelChange:
    """Return a change at 165 of 200 MiB."""
    return LevelChange(old, new, 165 * MIB, 200 * MIB, source, 7.0)


@pytest.mark.parametrize(
    ("told", "level", "line"),
    [
        (change("normal", "soft"), "WARNING", "memory is soft: 165 of 200 MiB (configured); caches are half"),
        (
            change("soft", "high", "cgroup"),
            "WARNING",
            "memory is high: 165 of 200 MiB (cgroup); caches are off, calls of priority cost are refused",
        ),
        (
            change("high", "critical"),
            "WARNING",
            "memory is critical: 165 of 200 MiB (configured); caches are off, new calls are refused",
        ),
        (
            change("soft", "high", "machine"),
            "WARNING",
            "memory is high: 165 of 200 MiB (machine); caches are off; " + GUESS,
        ),
        (change("soft", "normal"), "INFO", "memory is normal: 165 of 200 MiB (configured); caches have their size"),
    ],
)
def test_a_change_reads_as_one_line(told: LevelChange, level: str, line: str) -> None:
    number, said = line_of(told)
    assert (logging.getLevelName(number), said) == (level, line)


def test_listeners_are_told_until_they_are_removed_and_one_that_fails_disturbs_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    listeners, heard = ChangeListeners(), list[LevelChange]()

    def fail(_: LevelChange) -> None:
        raise RuntimeError("secret")

    listeners.add(fail)
    remove = listeners.add(heard.append)
    told = change("normal", "soft")
    listeners.tell(told)
    remove()
    remove()
    listeners.tell(told)
    assert heard == [told]
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["a listener for changes of memory failed: RuntimeError"] * 2


def test_a_change_is_json_with_its_age() -> None:
    assert change("normal", "soft").to_dict(10.0) == {
        "old": "normal",
        "new": "soft",
        "rss_bytes": 165 * MIB,
        "limit_bytes": 200 * MIB,
        "source": "configured",
        "ago_s": 3.0,
    }
