"""Running the command line, in this process and in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from click.testing import CliRunner

from loomwire.cli.main import cli
from support.folders import REPOSITORY


class Ran(NamedTuple):
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


def loomwire(*words: str | Path, stdin: str | bytes | None = None, env: Mapping[str, str | None] | None = None) -> Ran:
    """Run a command in this process."""
    result = CliRunner(env={"LOOMWIRE_DEBUG": None, **(env or {})}).invoke(cli, list(map(str, words)), input=stdin)
    return Ran(result.exit_code, result.stdout, result.stderr)


def environment(**more: str) -> dict[str, str]:
    """Return an environment without anything that would change the output."""
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("LOOMWIRE", "OPENAI_API"))}
    for name in ("NO_COLOR", "FORCE_COLOR"):
        quiet.pop(name, None)
    return {**quiet, **more}


def process(*words: str | Path, stdin: str = "", cwd: Path = REPOSITORY, **env: str) -> Ran:
    """Run a command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "loomwire", *map(str, words)],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=cwd,
        env=environment(**env),
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)
