"""`import loomwire` in a fresh interpreter: cheap, quiet, and a front door in order."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    *("aiohttp", "cachetools", "click", "dependency_injector", "httpx", "msgspec", "psutil", "pydantic"),
    *("pydantic_settings", "rich", "watchdog", "yaml"),
}
MOST_NAMES = 40

# Watches an import from outside: what it loaded, started, opened, and what it asked the environment for.
WATCHED_IMPORT = """
import json, os, sys, threading

class Spy(dict):
    def seen(self, key):
        frame = sys._getframe(2)
        while frame and frame.f_globals.get("__name__", "").split(".")[0] in ("os", "_collections_abc", "collections"):
            frame = frame.f_back
        if frame and frame.f_globals.get("__name__", "").split(".")[0] == "loomwire":
            asked.append(key)
    def __getitem__(self, key):
        self.seen(key)
        return dict.__getitem__(self, key)
    def get(self, key, default=None):
        self.seen(key)
        return dict.get(self, key, default)
    def __contains__(self, key):
        self.seen(key)
        return dict.__contains__(self, key)

def watch(event, arguments):
    if event.startswith(("socket.", "subprocess.", "sqlite3.")):
        touched.append(event)
    if event == "open" and not str(arguments[0]).endswith((".py", ".pyc")) and not str(arguments[0]).isdigit():
        touched.append(f"open {arguments[0]}")

asked, touched = [], []
os.environ = Spy(os.environ)
sys.addaudithook(watch)
import loomwire
touched_by_import = list(touched)
print(json.dumps({
    "modules": sorted({name.split(".")[0] for name in sys.modules}),
    "threads": [thread.name for thread in threading.enumerate()],
    "asked": asked,
    "touched": touched_by_import,
}))
"""
FRONT_DOOR = """
import json, loomwire
names = list(loomwire.__all__)
missing = [name for name in names if not hasattr(loomwire, name)]
print(json.dumps({"names": names, "missing": missing, "dir": dir(loomwire)}))
"""
Report = dict[str, list[str]]


def fresh(program: str) -> Report:
    """Run a program in a new interpreter that heeds no PYTHON* setting; return the object it printed."""
    done = subprocess.run([sys.executable, "-IB", "-c", program], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert isinstance(report, dict)
    return {str(key): [str(item) for item in value] for key, value in report.items()}


@pytest.fixture(scope="module")
def watched() -> Report:
    """Return what one import did."""
    return fresh(WATCHED_IMPORT)


@pytest.fixture(scope="module")
def front_door() -> Report:
    """Return the public names, which resolves every lazy one."""
    return fresh(FRONT_DOOR)


def test_importing_loomwire_loads_no_heavy_library(watched: Report) -> None:
    assert sorted(HEAVY & set(watched["modules"])) == []


def test_importing_loomwire_starts_no_thread(watched: Report) -> None:
    assert watched["threads"] == ["MainThread"]


def test_importing_loomwire_reads_no_environment(watched: Report) -> None:
    assert watched["asked"] == []


def test_importing_loomwire_opens_no_file_and_no_socket(watched: Report) -> None:
    assert watched["touched"] == []


def test_the_front_door_is_sorted_small_and_complete(front_door: Report) -> None:
    names = front_door["names"]
    assert names == sorted(set(names))
    assert 0 < len(names) <= MOST_NAMES, f"{len(names)} public names"
    assert front_door["missing"] == [], "names in __all__ that do not resolve"


def test_lazy_names_show_in_dir(front_door: Report) -> None:
    assert set(front_door["names"]) <= set(front_door["dir"])
