"""What a process pays before its first call: each function runs in a fresh interpreter and prints figures as JSON.

Started as `python -c "from benchmarks.startup import imported; imported()"`. Nothing but `sys` and `time` is imported
before the clock runs: a module that is here already would be missing from the bill. It runs where only the core
requirements are installed, as with a user; what it needs beside loomwire is the standard library.
"""

from __future__ import annotations

import sys
import time


def bare() -> None:
    """An interpreter that does nothing."""
    _show()


def imported() -> None:
    """`import loomwire`."""
    wall, cpu = time.perf_counter(), time.process_time()
    import loomwire

    _show(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)
    assert loomwire.__all__


def container() -> None:
    """A container over the folder in argument 1, from before the import until it is ready."""
    wall, cpu = time.perf_counter(), time.process_time()
    from loomwire import LLMContainer

    opened = LLMContainer.open(sys.argv[1], watch=False)
    spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    _show(**spent)
    opened.close()


def networked() -> None:
    """The first answer over a network (folder in argument 2), in a process whose offline container is ready.

    The same once more is taken off: what is left is paid only once, by whoever is first.
    """
    from loomwire import ILLMClient, LLMContainer, LLMRequest

    offline = LLMContainer.open(sys.argv[1], watch=False)
    import asyncio

    async def ask() -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        async with LLMContainer.aopen(sys.argv[2], watch=False) as online:
            await online.resolve(ILLMClient, "plain").generate(LLMRequest.of("hello"))
            return time.perf_counter() - wall, time.process_time() - cpu

    first, second = asyncio.run(ask()), asyncio.run(ask())
    _show(wall=first[0] - second[0], cpu=first[1] - second[1])
    offline.close()


def further_clients() -> None:
    """A folder with few clients (argument 1) against one with so many more (arguments 2 and 3), per client."""
    import gc

    from benchmarks.machine import resident_bytes
    from loomwire import LLMContainer

    def opened(folder: str) -> tuple[float, float, LLMContainer]:
        gc.collect()
        held, cpu = resident_bytes(), time.process_time()
        ready = LLMContainer.open(folder, watch=False)
        spent = time.process_time() - cpu
        gc.collect()
        return spent, resident_bytes() - held, ready

    opened(sys.argv[1])[2].close()
    few, many, more = opened(sys.argv[1]), opened(sys.argv[2]), int(sys.argv[3])
    _show(cpu=(many[0] - few[0]) / more, bytes=(many[1] - few[1]) / more)
    few[2].close()
    many[2].close()


def _show(**figures: float) -> None:
    import json

    from benchmarks.machine import resident_bytes

    print(json.dumps({**figures, "resident": resident_bytes()}))
