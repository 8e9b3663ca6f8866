"""One turn of one client in a process of its own: what it costs to be there, then what its calls cost.

Started as `python -c "from benchmarks.peers.turn import main; main()" MODULE CORE TASK` by the Python of the client's
own environment, so nothing here needs more than the standard library and what every client brings. Little is imported
before the clock runs: a module that is here already would be missing from the bill.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.clients.adapter import ClientName
    from benchmarks.worker import Figures


def main() -> None:
    """Import the module of argument 1 on the core of argument 2, do the task of argument 3, print figures as JSON."""
    module, core, words = sys.argv[1:]
    if core:
        os.sched_setaffinity(0, {int(core)})
    began = (time.perf_counter(), time.process_time())
    __import__(module)
    start = _since(began)
    import asyncio
    import json

    task = json.loads(words)
    figures = asyncio.run(_asked(task["client"], task["port"], task["counts"], began))
    print(json.dumps({"start": start, **figures}))


async def _asked(
    client: ClientName, port: int, counts: Mapping[str, int], began: tuple[float, float]
) -> dict[str, Figures]:
    from benchmarks.clients.adapter import open_adapter

    async with open_adapter(client, port) as adapter:
        await adapter.ask()
        figures = {"ready": _since(began)}
        from benchmarks.worker import MEASURES

        for measure, count in counts.items():
            figures[measure] = await MEASURES[measure](adapter, count)
    return figures


def _since(began: tuple[float, float]) -> Figures:
    spent = {"wall": time.perf_counter() - began[0], "cpu": time.process_time() - began[1]}
    from benchmarks.machine import resident_bytes

    return {**spent, "resident": float(resident_bytes())}
