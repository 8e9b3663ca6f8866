"""Settings of every test: an asyncio loop that may not block, the two tiers, and what a skip costs."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import coverage
import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent
FULL_TIMEOUT_S = 180.0

# No deadline: the machine may be shared. A model that needs seconds to draw says so by its own settings.
# Under CI the same examples every time (decision 0016).
settings.register_profile(
    "default",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    max_examples=40,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("full", settings.get_profile("default"), max_examples=1000)


class SkipsForbidden:
    """With --no-skips: a run in which anything was skipped has failed."""

    def __init__(self) -> None:
        self.skips = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a skipped test; an expected failure is no skip."""
        self.skips += report.skipped and not hasattr(report, "wasxfail")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count a module that skipped itself."""
        self.skips += report.skipped

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say why the run failed; pytest's own list above has each skip and its reason."""
        if self.skips:
            terminalreporter.write_line(f"--no-skips: {self.skips} skipped, so this run has failed", red=True)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn a pass with skips into a failure."""
        if self.skips and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the words that dev.py passes on."""
    group = parser.getgroup("loomwire")
    group.addoption("--full", action="store_true", help="run the tests marked full too, and look deeper everywhere")
    group.addoption("--no-skips", action="store_true", help="fail when anything was skipped")
    group.addoption("--write-tables", action="store_true", help="write the measured tables under architecture/ anew")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the tier's depth and patience."""
    # A run in the background of a script ignores Ctrl-C, and so would everything that it starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    full = bool(config.getoption("--full"))
    settings.load_profile("full" if full else "default")
    if full and config.getoption("--timeout") is None:
        config.option.timeout = FULL_TIMEOUT_S
    if config.getoption("--no-skips") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipsForbidden())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables that tests recorded under the property `table`, when the run was asked for by a word."""
    if not terminalreporter.config.getoption("keyword"):
        return
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    tables = [value for report in reports for name, value in report.user_properties if name == "table"]
    for title, *lines in tables:
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, bool | None, bool | None]:
    """Collect without looking for garbage, and set apart what then lives to the end.

    Fifteen thousand tests and their modules are a million objects: looking through them takes half a second, which
    every `gc.collect()` of a test would pay.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what reads recordings, so that `-k wire` selects it by folder."""
    if item.path.is_relative_to(TESTS / "wire"):
        item.add_marker("wire")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the full tier unless it was asked for: it is absent from the default run, not skipped in it."""
    if config.getoption("--full"):
        return
    later = [item for item in items if item.get_closest_marker("full")]
    if later:
        config.hook.pytest_deselected(items=later)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, the one loop that loomwire supports."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def loop_may_not_block() -> Iterator[None]:
    """Fail any call from loomwire that blocks a running loop, also loops that a sync test starts by itself."""
    count_under_a_lock_that_nobody_watches()
    with blockbuster_ctx("loomwire"):
        yield


def count_under_a_lock_that_nobody_watches() -> None:
    """Give the coverage gate a lock of another kind than its own plain one, of which every taking is judged.

    It is taken at every call of ours, so judging took a quarter of the whole run; and a thread that waited for it was
    taken for a loop that is blocked.
    """
    gate = coverage.Coverage.current()
    if gate is not None and gate._collector is not None:
        gate._collector.data_lock = threading.RLock()
