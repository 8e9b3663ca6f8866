"""Threads and event loops that ask all the time, and count what went wrong."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

from benchmarks.payloads import ANSWER, PROMPT
from loomwire import LLMContainer, LLMRequest
from loomwire.domain.errors import LoomError

THREADS = 4
LOOPS = 4
PAUSE_S = 0.01


class Load:
    """Asks clients of a container from four threads and four event loops.

    Attributes:
        asked: Calls that ended.
        failed: Those that ended in an error or another answer.
        seconds: How long it ran.
    """

    def __init__(self, container: LLMContainer) -> None:
        self.asked = 0
        self.failed = 0
        self.seconds = 0.0
        self._container = container
        self._names = container.names()
        self._lock = threading.Lock()
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Generator[None]:
        """Ask until the end of the block."""
        works = [self._in_thread] * THREADS + [self._in_loop] * LOOPS
        threads = [threading.Thread(target=work, args=(place,)) for place, work in enumerate(works)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            self.seconds = time.perf_counter() - began

    def _in_thread(self, place: int) -> None:
        number = place
        while not self._stop.wait(PAUSE_S):
            number += 1
            try:
                text = self._container.sync_client(self._name(number)).generate(LLMRequest.of(PROMPT)).text
            except LoomError as error:
                text = error.message
            self._count(text)

    def _in_loop(self, place: int) -> None:
        asyncio.run(self._asking(place))

    async def _asking(self, place: int) -> None:
        number = place
        while not self._stop.is_set():
            await asyncio.sleep(PAUSE_S)
            number += 1
            try:
                text = (await self._container.llm_client(self._name(number)).generate(LLMRequest.of(PROMPT))).text
            except LoomError as error:
                text = error.message
            self._count(text)

    def _name(self, number: int) -> str:
        return self._names[number % len(self._names)]

    def _count(self, text: str) -> None:
        with self._lock:
            self.asked += 1
            self.failed += text != ANSWER
