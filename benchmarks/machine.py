"""What the benchmark asks of the machine: cores, and the memory a process holds."""

from __future__ import annotations

import os
from pathlib import Path

MIB = 1024 * 1024


def cores() -> tuple[int, ...]:
    """Return the cores this process may use; empty where the system does not say."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    return tuple(sorted(os.sched_getaffinity(0)))


def server_and_client_core() -> tuple[int | None, int | None]:
    """Return the core of the server and the core of the clients; None where they cannot have one each."""
    mine = cores()
    return (mine[0], mine[-1]) if len(mine) >= 2 else (None, None)


def pin(core: int | None) -> None:
    """Keep this process on one core."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def resident_bytes() -> int:
    """Return what the process holds in memory now; where the system does not say, the most it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
