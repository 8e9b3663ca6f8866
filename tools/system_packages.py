"""Installs the programs that the full tests start and pip does not have: a table, and apt.

Run it in any Python: `python3 tools/system_packages.py`, as `dev.py setup --full` does. It changes nothing when every
program is on PATH. Exit codes: 0 all there, 1 one is missing and one line on stderr says what to install by hand.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

# By program, the Debian package that has it.
PACKAGES: Mapping[str, str] = {
    "openssl": "openssl",
    "redis-server": "redis-server",
}
# Another apt may be at work, such as a fresh machine's own upgrade.
APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet=2", "--option=DPkg::Lock::Timeout=120")


def missing(packages: Mapping[str, str] = PACKAGES) -> list[str]:
    """Return the packages of which a program is not on PATH, each once."""
    return sorted({package for program, package in packages.items() if shutil.which(program) is None})


def run(command: Sequence[str]) -> tuple[int, str]:
    """Run a command that can ask nothing; return its exit code and its last line."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return done.returncode, (lines or ["it said nothing"])[-1]


def is_root() -> bool:
    """Tell whether this user may do everything."""
    return os.geteuid() == 0


def apt(is_root: Callable[[], bool]) -> tuple[Sequence[str], str]:
    """Return how this user starts apt and "", or nothing and why it cannot be started."""
    if shutil.which("apt-get") is None:
        return (), "there is no apt-get here"
    if is_root():
        return APT, ""
    if shutil.which("sudo") is None or run(("sudo", "-n", "true"))[0]:
        return (), "that needs root, or sudo without a password"
    return ("sudo", "-n", *APT), ""


def install(packages: Sequence[str], is_root: Callable[[], bool]) -> str:
    """Install packages; return "", or why that failed."""
    start, why = apt(is_root)
    if not start:
        return why
    # A fresh machine has no list of packages to install from; where updating it fails, an old one may do.
    run((*start, "update"))
    code, said = run((*start, "install", "--yes", "--no-install-recommends", *packages))
    return said if code else ""


def main(packages: Mapping[str, str] = PACKAGES, is_root: Callable[[], bool] = is_root) -> int:
    """Install what is missing and return the exit code."""
    wanted = missing(packages)
    if not wanted:
        return 0
    names = " ".join(wanted)
    print(f"system packages: installing {names} ...", file=sys.stderr, flush=True)
    why = install(wanted, is_root)
    if why or missing(packages):
        why = why or "apt installed it, and its program is not on PATH"
        print(f"system packages: {names} not installed ({why}); by hand: apt install {names}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
