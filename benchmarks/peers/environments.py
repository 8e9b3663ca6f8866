"""One environment per library, from pins: their requirements would not fit into one, and none belongs into ours.

And one with our own core requirements: what the development ones bring would be on the bill of our start-up.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from benchmarks.runs import ROOT
from dev import MISLEADING, last_line, out_of_reach, take

Installer: TypeAlias = Callable[[Path, Path], tuple[int, str]]
"""Installs a requirement file for a Python and returns an exit code and everything that was said."""

CORE_PINS = ROOT / "requirements"
"""Where the pins of our own core requirements lie."""

_STAMP = "loomwire.stamp"
_PYTHON = Path("Scripts", "python.exe") if os.name == "nt" else Path("bin", "python")
_QUIETLY = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_ROOT_USER_ACTION": "ignore"}


class NotInstalledError(Exception):
    """An environment could not be made; the message is one line for the reader."""


def install_with_pip(python: Path, requirements: Path) -> tuple[int, str]:
    """Install with our own pip from the registry it is configured for; nothing but what the hashes name."""
    words = ("-m", "pip", "--python", str(python), "install", "--quiet", "--require-hashes", "-r", str(requirements))
    return _run([sys.executable, *words])


@dataclass(frozen=True, slots=True)
class Environments:
    """The environments of the peers.

    Attributes:
        say: Told what takes time.
        folder: Where they lie, one folder each.
        pins: Where their requirement files lie.
        installer: Puts the pins into an environment.
    """

    say: Callable[[str], None]
    folder: Path = ROOT / ".venv-peers"
    pins: Path = ROOT / "requirements" / "peers"
    installer: Installer = field(default=install_with_pip)

    def python_of(self, name: str) -> Path:
        """Return the Python of an environment, which is made when it is missing or its pins have changed.

        Raises:
            NotInstalledError: It could not be made.
        """
        place, requirements = self.folder / name, self.pins / f"{name}.txt"
        python, wanted = place / _PYTHON, _digest(place, requirements)
        with self._locked():
            if not python.exists() or _stamp_of(place) != wanted:
                began = time.monotonic()
                self.say(f"installing {name} into {self.folder.name}/{name} ...")
                self._make(place, requirements)
                # Last, so that an install that was cut short is never taken for a whole one.
                (place / _STAMP).write_text(wanted, encoding="utf-8")
                self.say(f"installed {name} in {time.monotonic() - began:.0f} s")
        return python

    def _make(self, place: Path, requirements: Path) -> None:
        shutil.rmtree(place, ignore_errors=True)
        code, output = _run([sys.executable, "-m", "venv", "--without-pip", str(place)])
        if not code:
            code, output = self.installer(place / _PYTHON, requirements)
        if code:
            shutil.rmtree(place, ignore_errors=True)
            hint = "; is the network there, and does `pip config list` name a registry that has it?"
            raise NotInstalledError(last_line(output) + (hint if out_of_reach(output) else ""))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        # It ignores itself, whatever the project's own .gitignore says.
        (self.folder / ".gitignore").write_text("*\n", encoding="utf-8")
        with (self.folder / "lock").open("w", encoding="utf-8") as file:
            if not take(file):
                self.say("another benchmark is installing; waiting for it ...")
                while not take(file):
                    time.sleep(0.1)
            yield


def core_python(environments: Environments) -> Path:
    """Return the Python of an environment with what `pip install loomwire` brings, or ours when it cannot be made.

    dependency-injector imports fastapi wherever it is installed, and the hosts' examples need it beside our tests.
    """
    try:
        return environments.python_of("core")
    except NotInstalledError as error:
        environments.say(f"start-up is measured with the development requirements, so it is dearer: {error}")
        return Path(sys.executable)


def _digest(place: Path, requirements: Path) -> str:
    try:
        pins = requirements.read_bytes()
    except OSError as error:
        raise NotInstalledError(f"{requirements.name} cannot be read: {error.strerror}") from None
    return hashlib.sha256(repr((str(place), sys.version, pins)).encode()).hexdigest()


def _stamp_of(place: Path) -> str:
    try:
        return (place / _STAMP).read_text(encoding="utf-8")
    except OSError:
        return ""


def _run(command: list[str]) -> tuple[int, str]:
    done = subprocess.run(
        command, env=_environment(os.environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name not in MISLEADING} | _QUIETLY
