"""Whether a client does the work at all, talks to nobody but the loopback server, and in which version.

`python -m benchmarks.peers.probe '[CLIENT, PORT, PACKAGE]'`, by the Python of the client's own environment, prints the
version. It runs apart from the measurements, because being watched costs time.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import TypeAlias

from benchmarks.clients.adapter import Adapter, ClientName, open_adapter
from benchmarks.payloads import ANSWER, STREAMS
from benchmarks.worker import must_be

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

Hook: TypeAlias = Callable[[str, tuple[object, ...]], None]


def watch(strangers: set[str]) -> Hook:
    """Return an audit hook that notes every host that is looked up or connected to, and refuses all but loopback."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        match event, arguments:
            case "socket.getaddrinfo", (str(host), *_):
                pass
            case "socket.connect", (_, (str(host), int(), *_)):
                pass
            case _:
                return
        if host not in LOOPBACK:
            strangers.add(host)
            raise OSError(f"the benchmark keeps every client on loopback, away from {host}")

    return hook


async def works(adapter: Adapter) -> None:
    """Ask everything once; a wrong answer ends the process."""
    must_be(await adapter.ask(), ANSWER)
    must_be(await adapter.ask_long(), ANSWER)
    for route in ("short", "long"):
        must_be((await adapter.read(route)).texts, STREAMS[route][0])


async def _probed(client: ClientName, port: int) -> None:
    async with open_adapter(client, port) as adapter:
        await works(adapter)


def main() -> None:
    """Probe, and print the version."""
    client, port, package = json.loads(sys.argv[1])
    strangers: set[str] = set()
    sys.addaudithook(watch(strangers))
    asyncio.run(_probed(client, port))
    if strangers:
        raise SystemExit(f"benchmark: {client} wanted to reach {', '.join(sorted(strangers))}")
    print(version(package))


if __name__ == "__main__":
    main()
