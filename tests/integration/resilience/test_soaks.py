"""Every soak meets its bars at a hundredth of its size, and with --full at a tenth; no time is judged here."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.soak.__main__ import main
from benchmarks.soak.figures import Measured, lines, missed
from benchmarks.soak.scenarios import SCENARIOS
from benchmarks.soak.stops import STOPS, TOO_LONG_S, TRIES, Stops, soaked


async def soak(name: str, share: float, record_property: Callable[[str, object], None]) -> list[str]:
    """Do a part of a soak, and return what missed its bar."""
    scenario = SCENARIOS[name]
    size = scenario.part(share)
    measured = await soaked(scenario.run, size, times=False)
    record_property("table", lines(name, size, measured))
    return missed(measured, times=False)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_hundredth_of_the_soak_meets_its_bars(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    assert await soak(name, 0.01, record_property) == []


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_tenth_of_the_soak_meets_its_bars(name: str, record_property: Callable[[str, object], None]) -> None:
    assert await soak(name, 0.1, record_property) == []


def test_a_figure_is_judged_by_its_bar() -> None:
    fine = Measured(title="requests", value=1.4, unit="x", bar=1.5)
    short = Measured(title="right", value=99.949, unit="%", bar=99.95, more_is_better=True)
    slow = Measured(title="p99", value=1.2, unit="ms", bar=1.0, is_time=True)
    told = Measured(title="answers", value=7)
    assert [one.word for one in (fine, short, slow, told)] == ["ok", "MISSED", "MISSED", "-"]
    assert missed([fine, short, slow, told]) == [
        "right: 99.949 %, the bar is 99.95",
        "p99: 1.200 ms, the bar is 1.0",
    ]
    assert missed([fine, slow, told], times=False) == []
    assert lines("it", 1000, [fine, told])[-1] == "1 of 1 bars met"


def test_without_a_name_the_soaks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(SCENARIOS)


def test_a_soak_that_is_none_is_refused_with_the_names_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["outage", "nothing"])
    assert "there is no soak 'nothing'" in capsys.readouterr().err


def test_a_process_that_stands_still_is_seen() -> None:
    stops = Stops()
    times = iter([10.0, 10.1, 10.25, 15.35, 15.45])
    over = iter([False, False, False, True])
    stops.look(lambda _: next(over), lambda: next(times))
    assert stops.longest_s == pytest.approx(5.0)
    stops.fresh()
    with stops.watching():
        pass
    assert stops.longest_s < TOO_LONG_S


@pytest.mark.parametrize(("stopped_s", "runs"), [(0.0, 1), (TOO_LONG_S, TRIES)])
async def test_only_what_was_missed_while_the_machine_stood_still_is_soaked_again(
    stopped_s: float, runs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes: list[int] = []

    async def miss(size: int) -> list[Measured]:
        sizes.append(size)
        STOPS.note(stopped_s)
        return [Measured(title="right", value=size, bar=2)]

    measured = await soaked(miss, 3)
    assert missed(measured) == ["right: 3 , the bar is 2"]
    assert sizes == [3] * runs
    assert [one.value for one in measured[1:]] == ([runs] if runs > 1 else [])
    assert capsys.readouterr().out.count("stood still") == (runs if runs > 1 else 0)
    sizes.clear()
    assert missed(await soaked(miss, 1)) == []
    assert sizes == [1]
