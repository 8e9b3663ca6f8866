"""What the full tests start is installed when it is missing; where that cannot be, one line says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.system_packages import PACKAGES, missing

ROOT = Path(__file__).resolve().parents[3]
# A program that no machine has, so that only the stand-ins are ever asked.
PROGRAM = """
from tools.system_packages import main
raise SystemExit(main({{"loomwire-stand-in": "stand-in-package"}}, lambda: {root}))
"""
SAYS = '#!/bin/sh\necho "${0##*/} $*" >> "${0%/*}/../log"\n'
INSTALLS = (
    SAYS + 'case "$*" in *install*) touch "${0%/*}/loomwire-stand-in"; chmod +x "${0%/*}/loomwire-stand-in";; esac'
)
FAILS = SAYS + "echo Reading lists; echo E: no space left; exit 100"
SUDO = SAYS + '[ "$2" = true ] || { shift; exec "$@"; }'


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return the folder of stand-ins that comes first on PATH; what they are asked goes to `log` beside it."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (tmp_path / "log").touch()
    return programs


def has(machine: Path, name: str, text: str) -> None:
    """Give the machine a program."""
    (machine / name).write_text(text, encoding="utf-8")
    (machine / name).chmod(0o755)


def setup(machine: Path, *, root: bool, further: str = "/usr/bin:/bin") -> tuple[int, str, list[str]]:
    """Run the script; return its exit code, what it said, and what the stand-ins were asked."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(root=root)], cwd=ROOT, capture_output=True, encoding="utf-8",
        env={**os.environ, "PATH": f"{machine}{os.pathsep}{further}"}, check=False,
    )  # fmt: skip
    log = (machine.parent / "log").read_text(encoding="utf-8").splitlines()
    return done.returncode, done.stderr, log


@pytest.mark.parametrize("root", [True, False])
def test_what_is_missing_is_installed_once_by_root_or_by_a_sudo_that_asks_nothing(machine: Path, root: bool) -> None:
    has(machine, "apt-get", INSTALLS)
    has(machine, "sudo", SUDO)
    assert setup(machine, root=root)[:2] == (0, "system packages: installing stand-in-package ...\n")
    asked = [line for line in setup(machine, root=root)[2] if line.startswith("apt-get")]
    assert [line.rpartition("=")[2] for line in asked] == [
        "120 update",
        "120 install --yes --no-install-recommends stand-in-package",
    ]


def test_a_user_without_rights_is_told_in_one_line_what_to_install(machine: Path) -> None:
    has(machine, "apt-get", INSTALLS)
    has(machine, "sudo", SAYS + "exit 1")
    code, said, log = setup(machine, root=False)
    assert (code, log) == (1, ["sudo -n true"])
    line = said.splitlines()[1]
    assert "stand-in-package not installed (that needs root, or sudo without a password)" in line
    assert line.endswith("by hand: apt install stand-in-package")


def test_a_machine_without_apt_is_told_too(machine: Path) -> None:
    code, said, _ = setup(machine, root=True, further="")
    assert code == 1
    assert "there is no apt-get here" in said


def test_an_apt_that_fails_is_quoted(machine: Path) -> None:
    has(machine, "apt-get", FAILS)
    code, said, _ = setup(machine, root=True)
    assert code == 1
    assert "(E: no space left)" in said


def test_an_apt_that_installed_something_else_is_not_believed(machine: Path) -> None:
    has(machine, "apt-get", SAYS)
    code, said, _ = setup(machine, root=True)
    assert code == 1
    assert "not on PATH" in said


def test_every_program_that_a_test_needs_has_a_package() -> None:
    assert PACKAGES["openssl"] == "openssl"
    assert missing({Path(sys.executable).as_posix(): "python3", "no-such-program-of-ours": "x"}) == ["x"]
