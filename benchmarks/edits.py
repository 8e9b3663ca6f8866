"""A configuration of many clients in one file, edited as an editor does: a new file in the place of the old one.

`python -m benchmarks.edits FOLDER CLIENTS PORT` edits it four times a second until its standard input ends.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from benchmarks.payloads import base_url
from benchmarks.runs import ROOT, BenchmarkError
from loomwire import LLMContainer
from loomwire.application.reload.results import Diff
from loomwire.domain.config import Snapshot
from loomwire.domain.reports.problems import Problem

PATIENCE_S = 30.0
EDIT_S = 0.25
SYSTEM = "You answer in one sentence, name a source for every number, and say so when you do not know."

_News: TypeAlias = tuple[float, str]


class Edits:
    """Writes versions of one file; what differs between two of them is some clients' longest time.

    Args:
        folder: Where it is.
        clients: How many clients it holds, of some 200 bytes each.
        port: Of the server they lead to.
    """

    def __init__(self, folder: Path, clients: int, port: int) -> None:
        self._file = folder / "bench.yaml"
        self._temporary = folder / ".bench.yaml.new"
        self._head = (
            "version: 1\nproviders:\n  server:\n    type: custom\n    dialect: openai_chat\n"
            f'    base_url: "{base_url(port, "plain")}"\n    allow_private: true\n    free: true\n'
            "models:\n  plain: {provider: server, model: m}\nclients:\n"
        )
        self._clients = clients
        self._version = 0
        self.save(0)

    @property
    def bytes(self) -> int:
        """The size of the file."""
        return self._file.stat().st_size

    def save(self, changed: int) -> float:
        """Put the next version in place, in which so many clients differ from the last; return when that was done."""
        self._version += 1
        entries = [self._client(number, self._version if number < changed else 0) for number in range(self._clients)]
        self._temporary.write_text(self._head + "".join(entries), encoding="utf-8")
        os.replace(self._temporary, self._file)  # noqa: PTH105  # the very call that editors make
        return time.perf_counter()

    @staticmethod
    def _client(number: int, version: int) -> str:
        return (
            f"  client_{number}:\n    models: [plain]\n    system: >-\n      {SYSTEM}\n"
            f"    timeouts:\n      ttft: 20\n      attempt: 40\n      total: {60 + version % 500}\n"
        )


class Listener:
    """Waits for what comes of edits."""

    def __init__(self, container: LLMContainer) -> None:
        self._news: queue.SimpleQueue[_News] = queue.SimpleQueue()
        container.on_config_updated(self._updated)
        container.on_config_rejected(self._rejected)

    def in_force(self) -> float:
        """Wait until an edit is in force and return since when."""
        at, wrong = self._news.get(timeout=PATIENCE_S)
        if wrong:
            raise BenchmarkError(f"the benchmark's own edit was refused: {wrong}")
        return at

    def _updated(self, _old: Snapshot, _new: Snapshot, _diff: Diff) -> None:
        self._news.put((time.perf_counter(), ""))

    def _rejected(self, _kept: Snapshot, problems: tuple[Problem, ...]) -> None:
        self._news.put((0.0, problems[0].message))


@contextmanager
def editing(folder: str, clients: int, port: int) -> Generator[None]:
    """Let a process of its own edit the configuration until the end of the block."""
    argv = [sys.executable, "-m", "benchmarks.edits", folder, str(clients), str(port)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if not (process.stdout and process.stdout.readline()):
                raise BenchmarkError("the process that edits did not start")
            yield
        finally:
            process.kill()


def _keep_editing(folder: str, clients: int, port: int) -> None:
    edits = Edits(Path(folder), clients, port)
    print("ready", flush=True)
    ended = threading.Event()

    def until_alone() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=until_alone, daemon=True).start()
    while not ended.wait(EDIT_S):
        edits.save(1)


if __name__ == "__main__":
    _keep_editing(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
