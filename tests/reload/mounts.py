"""Change scenarios that take a namespace of their own: limits of inotify, and file systems that announce nothing.

`python -m reload.mounts NAME FOLDER` plays one and prints what was seen as JSON; `alone` starts that under `unshare`.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import loomwire
from reload.ground import Outcome, Scenario, play, text
from reload.scenarios import APP, EDITED, OTHER, plain, sh, write

LIMITS = Path("/proc/sys/user")
UNSHARE = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private")
HERE = Path(__file__).parent


def limited(folder: Path, what: str, most: int) -> None:
    """Take inotify away from everybody in this namespace."""
    plain(folder)
    (LIMITS / f"max_inotify_{what}").write_text(str(most), encoding="ascii")


def memory(folder: Path) -> None:
    """Put the root on a file system in memory."""
    sh(folder, "mount", "-t", "tmpfs", "none", folder)
    plain(folder)


def overlay(folder: Path) -> None:
    """Make the root an overlay."""
    sh(folder, "mount", "-t", "tmpfs", "none", folder)
    plain(folder)
    (folder / "conf").rename(folder / "lower")
    for name in ("upper", "work", "conf"):
        (folder / name).mkdir()
    layers = ",".join(f"{name}dir={folder / name}" for name in ("lower", "upper", "work"))
    sh(folder, "mount", "-t", "overlay", "none", "-o", layers, folder / "conf")


def bound_folder(folder: Path) -> None:
    """Show a folder in another place."""
    plain(folder)
    (folder / "conf").rename(folder / "source")
    (folder / "conf").mkdir()
    sh(folder, "mount", "--bind", "source", "conf")


def bound_file(folder: Path) -> None:
    """Show one file in another place, as `docker -v file:file` does."""
    plain(folder)
    write(folder / "source.yaml", 1)
    sh(folder, "mount", "--bind", "source.yaml", APP)


def replace_source(folder: Path) -> None:
    """Rename over the file that is shown."""
    write(folder / "source.tmp", 2)
    (folder / "source.tmp").replace(folder / "source.yaml")


def passed_through(folder: Path) -> None:
    """Show a folder through FUSE."""
    bound = folder / "source"
    plain(folder)
    (folder / "conf").rename(bound)
    (folder / "conf").mkdir()
    words = [sys.executable, str(HERE / "passthrough.py"), str(bound), str(folder / "conf")]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
    atexit.register(server.kill)
    assert server.stdout is not None
    assert server.stderr is not None
    if not server.stdout.readline():
        raise OSError(server.stderr.read().strip().splitlines()[-1])
    assert (folder / APP).read_text(encoding="utf-8") == text(1)


def edited(folder: Path, where: str = APP) -> None:
    """Write in place."""
    write(folder / where, 2)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("no inotify instances", edited, EDITED, partial(limited, what="instances", most=0), is_limited=True),
    Scenario("no inotify watches", edited, EDITED, partial(limited, what="watches", most=0), is_limited=True),
    Scenario("one inotify watch", edited, EDITED, partial(limited, what="watches", most=1), is_limited=True),
    Scenario("memory file system", edited, EDITED, memory),
    Scenario("overlay, edited through it", edited, EDITED, overlay),
    Scenario("overlay, lower layer edited", partial(edited, where="lower/app.yaml"), EDITED, overlay),
    Scenario("bind mount of a folder", partial(edited, where="source/app.yaml"), EDITED, bound_folder),
    Scenario("bind mount of a file, edited in place", partial(edited, where="source.yaml"), EDITED, bound_file),
    Scenario("bind mount of a file, renamed over: nobody sees it", replace_source, None, bound_file),
    Scenario("FUSE, edited behind it", partial(edited, where="source/other.yaml"), {APP: 1, OTHER: 2}, passed_through),
)


def alone(scenario: Scenario, folder: Path) -> Outcome:
    """Play a scenario in namespaces of its own; the outcome has a remark when the machine does not allow it."""
    first = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = [*first, str(Path(loomwire.__file__).parents[1]), str(HERE.parent)]
    words = [*UNSHARE, sys.executable, "-m", "reload.mounts", scenario.name, str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    try:
        done = subprocess.run(words, env=environment, capture_output=True, encoding="utf-8", timeout=50, check=False)
    except FileNotFoundError:
        return Outcome(remark="not played: this machine has no `unshare`")
    if done.returncode and done.stderr.startswith("unshare:"):
        return Outcome(remark=f"not played: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return Outcome.from_json(done.stdout)


def main(name: str, folder: str) -> None:
    """Play one scenario here and print what was seen."""
    scenario = next(each for each in SCENARIOS if each.name == name)
    try:
        outcome = play(scenario, Path(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        said = str(error.stderr) if isinstance(error, subprocess.CalledProcessError) else str(error)
        outcome = Outcome(remark=f"not played, the machine refuses: {said.strip()}")
    sys.stdout.write(json.dumps(outcome.plain()))


if __name__ == "__main__":
    main(*sys.argv[1:])
