"""Where a change scenario is played: a folder, a real watcher on it, and a tiny reader that stands in for the store."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import msgspec
import yaml

from loomwire.infrastructure.watching.watcher import ConfigWatcher

BEGIN_S = 10.0
"""Longest wait for the first reading."""
AFTERWARDS_S = 1.6
"""A sweep and what follows it: whatever would be adopted a second time was by then."""


def text(number: int) -> str:
    """Return a file's content, which says itself whether it is whole."""
    return f"first: {number}\npadding: {'x' * 200}\nlast: {number}\n"


def pause(seconds: float) -> None:
    """Wait, as a slow writer does."""
    threading.Event().wait(seconds)


@dataclass(frozen=True)
class Scenario:
    """One way in which a configuration changes.

    Attributes:
        name: What happens, in words.
        change: Does it, in the folder that holds the root; may return when the edit was over, in monotonic seconds.
        want: What every file says afterwards, by path below the folder; None when nothing may be adopted.
        prepare: Makes the root before the watcher starts.
        root: The root, below the folder.
        further: Other files that are read, below the folder.
        within_s: Longest time from the end of the change to its adoption.
        is_limited: Whether the watcher must say that it lacks watches.
    """

    name: str
    change: Callable[[Path], float | None]
    want: Mapping[str, int] | None
    prepare: Callable[[Path], None]
    root: str = "conf"
    further: tuple[str, ...] = ()
    within_s: float = 5.0
    is_limited: bool = False


@dataclass
class Outcome:
    """What was seen.

    Attributes:
        adopted: What each adopted reading said.
        torn: Readings that differed from the one before and were not whole.
        latency_ms: From the end of the edit to its adoption.
        reads: How often files were read because of the change.
        remark: Why there is nothing to tell.
        limit: What the watcher said of missing watches.
    """

    adopted: list[dict[str, int]] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    latency_ms: float | None = None
    reads: int = 0
    remark: str = ""
    limit: str | None = None

    def fault(self, scenario: Scenario) -> str | None:
        """Return what is wrong with it, or None."""
        if self.remark:
            return None
        if (self.limit is not None) is not scenario.is_limited:
            return f"{scenario.name}: the watcher says of its limit: {self.limit}"
        if self.torn:
            return f"{scenario.name}: read half: {self.torn}"
        want = [] if scenario.want is None else [dict(scenario.want)]
        if self.adopted != want:
            return f"{scenario.name}: adopted {self.adopted}, not {want}"
        if self.latency_ms is not None and self.latency_ms > scenario.within_s * 1000:
            return f"{scenario.name}: adopted after {self.latency_ms:.0f} ms"
        return None

    def line(self, scenario: Scenario) -> str:
        """Return a row of the table."""
        when = "no reload" if self.latency_ms is None else f"{self.latency_ms:.0f} ms"
        limit = f"  ({self.limit})" if self.limit else ""
        return f"{scenario.name:<52} {self.remark or f'{when:>9}  {self.reads} reads{limit}'}"

    def plain(self) -> dict[str, object]:
        """Return it as JSON knows it."""
        return asdict(self)

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """Read what another process printed."""
        return msgspec.json.decode(text, type=cls)


class Reader:
    """Reads, digests and adopts what is whole, as the store does."""

    def __init__(self, folder: Path, scenario: Scenario) -> None:
        self.began = threading.Event()
        self.adopted: list[tuple[float, dict[str, int]]] = []
        self.torn: list[str] = []
        self.reads = 0
        self.found: dict[str, str] | None = None
        self._folder = folder
        self._root = folder / scenario.root
        self._further = [folder / name for name in scenario.further]
        self._digest = ""
        self._known: list[Path] = []

    def watched(self) -> list[str]:
        """Return what it reads, as the last reading found it."""
        return [str(path) for path in (*self._known, *self._further, self._folder / "conf" / ".env")]

    def changed(self) -> None:
        """Read everything."""
        if self._root.is_dir():
            self._known = sorted(path for path in self._root.glob("*.yaml") if not path.name.startswith("."))
        elif not self._known:
            self._known = [self._root]
        self.found = self._read()
        self.reads += 1
        digest = hashlib.blake2b(repr(self.found).encode()).hexdigest()
        if digest != self._digest and self.found is not None:
            self._digest = digest
            self._adopt(self.found)
        self.began.set()

    def _read(self) -> dict[str, str] | None:
        """Return what every file says, or None when something else is in a file's place."""
        found = {}
        for path in (*self._known, *self._further):
            if path.is_fifo():
                return None
            try:
                found[path.relative_to(self._folder).as_posix()] = path.read_text(encoding="utf-8")
            except FileNotFoundError:
                if path.is_symlink():
                    return None
            except OSError:
                return None
        return found

    def _adopt(self, found: Mapping[str, str]) -> None:
        numbers = {}
        for name, content in found.items():
            said = yaml.safe_load(content)
            if not isinstance(said, dict) or said.get("first") != said.get("last", "none"):
                self.torn.append(f"{name}: {content[:20]!r}... of {len(content)}")
                return
            numbers[name] = int(said["first"])
        self.adopted.append((time.monotonic(), numbers))


def play(scenario: Scenario, folder: Path) -> Outcome:
    """Prepare, watch, change, and tell what was seen."""
    scenario.prepare(folder)
    reader = Reader(folder, scenario)
    watcher = ConfigWatcher(folder / scenario.root, reader.watched, reader.changed)
    watcher.start()
    try:
        assert reader.began.wait(BEGIN_S)
        pause(0.05)
        before, reads = len(reader.adopted), reader.reads
        said = scenario.change(folder)
        done = said or time.monotonic()
        while len(reader.adopted) == before and scenario.want is not None and time.monotonic() < done + BEGIN_S:
            pause(0.01)
        pause(AFTERWARDS_S)
        limit = watcher.status.limit
    finally:
        watcher.stop()
    seen = reader.adopted[before:]
    latency = (seen[-1][0] - done) * 1000 if seen else None
    return Outcome([numbers for _, numbers in seen], reader.torn, latency, reader.reads - reads, "", limit)


def watchdog_version() -> str:
    """Return which watchdog this process found first."""
    return version("watchdog")
