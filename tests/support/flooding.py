"""A process that is flooded with large answers, which its cache would all keep. Run as a program; writes JSON."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import threading
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random

from typing_extensions import override

from loomwire import ILLMClient, LLMContainer, LLMRequest
from loomwire.application.memory.manager import MemoryManager
from loomwire.application.memory.report import LevelChange
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.ports.client import ILLMClientFactory, LLMStream
from loomwire.domain.requests import Parameters
from loomwire.domain.responses import LLMResponse

MIB = 1024 * 1024
EVERY_S = 0.02
SIZES = (20_000, 60_000, 120_000, 300_000)
AT_ONCE = 16
MOST_WAITS = 2000
COLD = Parameters(temperature=0.0)


@dataclass
class Flood:
    """What happened.

    Attributes:
        answered: Calls that were answered.
        answered_bytes: What their answers had.
        refused: Calls that were refused before they began, by reason.
        failed: Calls that had begun and were not answered.
        seconds: How long it took.
        start_mib: Resident memory before it.
        peak_mib: The most resident memory that was seen.
        end_mib: Resident memory after it.
        steps: Levels, each with the seconds after which it was reached, with how many MiB and at which look.
        late_s: The longest that the event loop was held up.
        looks: How often the manager looked.
        held_mib: What the caches held at the end.
        acted_after: With a host that takes memory for itself: how many looks it took until something was done.
        actions: What was done, with the MiB that it brought and the seconds that it took.
    """

    answered: int = 0
    answered_bytes: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    seconds: float = 0.0
    start_mib: float = 0.0
    peak_mib: float = 0.0
    end_mib: float = 0.0
    steps: list[tuple[str, float, float, int]] = field(default_factory=list)
    late_s: float = 0.0
    looks: int = 0
    held_mib: float = 0.0
    acted_after: int = -1
    actions: list[tuple[str, float, float]] = field(default_factory=list)


class Fountain(ILLMClient, ILLMClientFactory):
    """Answers everything at length, and never twice the same."""

    def __init__(self, flood: Flood) -> None:
        self._flood = flood
        self._random = Random(7)

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        return self

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        self._flood.failed += 1
        await asyncio.sleep(0.005)
        text = os.urandom(self._random.choice(SIZES) // 2).hex()
        self._flood.failed -= 1
        self._flood.answered += 1
        self._flood.answered_bytes += len(text)
        return LLMResponse(output=text, text=text, provider="fountain", model="any", finish="stop")

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        raise NotImplementedError


def meter_of(place: int) -> int:
    """Return what the system says of this process in bytes: 0 is its address space, 1 its resident memory."""
    with Path("/proc/self/statm").open("rb") as file:
        return int(file.read().split()[place]) * resource.getpagesize()


class Meter:
    """Sees how much resident memory this process has, every 20 ms, on a thread."""

    def __init__(self) -> None:
        self.peak = self.now()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @staticmethod
    def now() -> float:
        """Return resident memory now, in MiB."""
        return meter_of(1) / MIB

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(EVERY_S):
            self.peak = max(self.peak, self.now())


async def pour(client: ILLMClient, flood: Flood, most_bytes: int) -> None:
    """Ask until so many bytes were answered."""
    number = 0

    async def ask() -> None:
        nonlocal number
        while flood.answered_bytes < most_bytes:
            number += 1
            try:
                await client.generate(replace(LLMRequest.of(f"question {number}"), parameters=COLD))
            except LLMError as error:
                flood.refused[error.reason] = flood.refused.get(error.reason, 0) + 1
                await asyncio.sleep(0.02)

    watch = asyncio.create_task(lateness(flood))
    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    watch.cancel()


async def lateness(flood: Flood) -> None:
    """See by how much the loop is late, again and again."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.005)
        flood.late_s = max(flood.late_s, time.perf_counter() - before - 0.005)


async def take(manager: MemoryManager, flood: Flood, most_bytes: int, mib: int) -> None:
    """Take memory for the host in the middle of the flood, until a level was reached, and give it back."""
    for _ in range(MOST_WAITS):
        if flood.answered_bytes > most_bytes / 3:
            break
        await asyncio.sleep(0.01)
    reached, ballast = len(flood.steps), []
    for _ in range(mib):
        # A little at a time, so that the loop is late by what the manager does alone.
        ballast.append(os.urandom(MIB // 16) * 16)
        await asyncio.sleep(0.001)
    looks = manager.report().looks
    for _ in range(MOST_WAITS):
        if len(flood.steps) > reached:
            break
        await asyncio.sleep(0.005)
    flood.acted_after = flood.steps[reached][3] - looks if len(flood.steps) > reached else -1
    await asyncio.sleep(0.05)
    del ballast


async def main(config: Path, *, managed: bool, most_bytes: int, taken_mib: int, room_mib: int) -> Flood:
    """Flood a container on a configuration.

    Args:
        config: Its folder.
        managed: With its memory manager.
        most_bytes: Of all answers together.
        taken_mib: What the host takes for itself meanwhile; 0 is nothing.
        room_mib: How much more address space the system gives than there is at the beginning; 0 is any.
    """
    flood = Flood()
    async with LLMContainer.aopen(config, watch=False, overrides={"client_factory": Fountain(flood)}) as container:
        client = container.resolve(ILLMClient, "flooded")
        if not managed:
            container.memory.close()
        began, manager = time.monotonic(), container.memory

        def note(change: LevelChange) -> None:
            after = time.monotonic() - began
            flood.steps.append((change.new, after, change.rss_bytes / MIB, manager.report().looks))

        manager.on_change(note)
        if room_mib:
            most = meter_of(0) + room_mib * MIB
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        with Meter() as meter:
            flood.start_mib = meter.now()
            taking = [take(manager, flood, most_bytes, taken_mib)] if taken_mib else []
            await asyncio.gather(pour(client, flood, most_bytes), *taking)
            flood.end_mib = meter.now()
        flood.seconds = time.monotonic() - began
        report = container.memory.report()
        flood.peak_mib = max(meter.peak, *(looked.sample.rss_bytes / MIB for looked in report.samples), 0.0)
        flood.actions = [(action.what, action.freed_bytes / MIB, action.took_s) for action in report.actions]
        flood.looks = report.looks
        flood.held_mib = sum(held.held_bytes for held in report.holders) / MIB
    return flood


if __name__ == "__main__":
    folder, how, *numbers = sys.argv[1:]
    most, taken, room = map(int, numbers)
    found = asyncio.run(main(Path(folder), managed=how == "on", most_bytes=most, taken_mib=taken, room_mib=room))
    sys.stdout.write(json.dumps(asdict(found)))
