"""A process that is flooded with large answers, which its cache would all keep. Run as a program; prints JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random

from typing_extensions import override

from loomwire import ILLMClient, LLMContainer, LLMRequest
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.ports.client import ILLMClientFactory, LLMStream
from loomwire.domain.requests import Parameters
from loomwire.domain.responses import LLMResponse

MIB = 1024 * 1024
EVERY_S = 0.02
SIZES = (20_000, 60_000, 120_000, 300_000)
AT_ONCE = 16
COLD = Parameters(temperature=0.0)


@dataclass
class Flood:
    """What happened.

    Attributes:
        answered: Calls that were answered.
        answered_bytes: What their answers had.
        refused: Calls that were refused before they began, by reason.
        failed: Calls that failed after they had begun.
        seconds: How long it took.
        start_mib: Resident memory before it.
        peak_mib: The most resident memory that was seen.
        end_mib: Resident memory after it.
        steps: Levels, each with the seconds at which it was reached.
        late_s: The longest that the event loop was held up.
        looks: How often the manager looked.
        held_mib: What the caches held at the end.
    """

    answered: int = 0
    answered_bytes: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    seconds: float = 0.0
    start_mib: float = 0.0
    peak_mib: float = 0.0
    end_mib: float = 0.0
    steps: list[tuple[str, float, float]] = field(default_factory=list)
    late_s: float = 0.0
    looks: int = 0
    held_mib: float = 0.0


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


class Meter:
    """Sees how much resident memory this process has, every 20 ms, on a thread."""

    def __init__(self) -> None:
        self.peak = self.now()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @staticmethod
    def now() -> float:
        """Return resident memory now, in MiB."""
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB

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


async def main(config: Path, *, managed: bool, most_bytes: int) -> Flood:
    """Flood a container on a configuration, with its memory manager or without."""
    flood = Flood()
    async with LLMContainer.aopen(config, watch=False, overrides={"client_factory": Fountain(flood)}) as container:
        client = container.resolve(ILLMClient, "flooded")
        if not managed:
            container.memory.close()
        began = time.monotonic()
        container.memory.on_change(
            lambda change: flood.steps.append((change.new, time.monotonic() - began, change.rss_bytes / MIB))
        )
        with Meter() as meter:
            flood.start_mib = meter.now()
            await pour(client, flood, most_bytes)
            flood.end_mib = meter.now()
        flood.seconds = time.monotonic() - began
        flood.peak_mib = meter.peak
        report = container.memory.report()
        flood.looks = report.looks
        flood.held_mib = sum(held.held_bytes for held in report.holders) / MIB
    return flood


if __name__ == "__main__":
    _, folder, how, bytes_ = sys.argv
    print(json.dumps(asdict(asyncio.run(main(Path(folder), managed=how == "on", most_bytes=int(bytes_))))))
