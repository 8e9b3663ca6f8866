"""A Redis server of one's own, on a socket in a folder, that can be killed, stopped and started anew."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = shutil.which("redis-server")
"""Where the server is; None without one."""


class RealRedis:
    """A server that listens on a socket in a folder.

    Attributes:
        folder: Where its socket and its files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def path(self) -> Path:
        """The socket."""
        return self.folder / "redis.sock"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"unix://{self.path}"

    def start(self, *options: str) -> None:
        """Start it, and wait until it listens."""
        assert PROGRAM is not None
        self.path.unlink(missing_ok=True)
        fixed = ("--port", "0", "--unixsocket", str(self.path), "--dir", str(self.folder), "--save", "")
        self._process = subprocess.Popen([PROGRAM, *fixed, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert self._process.stdout is not None
        assert any(b"ready to accept" in line.lower() for line in self._process.stdout), "redis-server ended"

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as the kernel does when memory runs out."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def say(self, *words: str) -> str:
        """Send it a command with its own client, and return the answer."""
        done = subprocess.run(
            ["redis-cli", "-s", str(self.path), *words], capture_output=True, encoding="utf-8", check=True
        )
        return done.stdout.strip()


@contextmanager
def real_redis(*options: str) -> Iterator[RealRedis]:
    """Run a server until the end of the block. Its folder is short: a socket's path may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="lw") as folder:
        server = RealRedis(Path(folder))
        server.start(*options)
        try:
            yield server
        finally:
            if server._process is not None:
                os.kill(server._process.pid, signal.SIGCONT)
            server.kill()
