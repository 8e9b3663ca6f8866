"""Reloads under load, in a process of its own: `python -m support.chaos FOLDER URL URL RELOADS` prints what happened.

In a process of its own because coverage and blockbuster, which watch the tests, fight over locks with eight threads.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from loomwire import LLMContainer, LLMRequest
from loomwire.application.generation import Generation
from loomwire.domain.errors import LoomError
from support.echoing import echoed

CLIENTS = tuple(f"c{number}" for number in range(6))
PAUSE_S = 0.004


class Load:
    """Four threads and four event loops that ask, and what went wrong."""

    def __init__(self, container: LLMContainer, adopted: Callable[[], int]) -> None:
        self.container = container
        self.adopted = adopted
        self.asked = 0
        self.wrong: list[str] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask until the end of the block."""
        works = [self._in_thread] * 4 + [self._in_loop] * 4
        threads = [threading.Thread(target=work, args=(place,)) for place, work in enumerate(works)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _in_thread(self, place: int) -> None:
        clients = {name: self.container.sync_client(name) for name in CLIENTS}
        number = 0
        while not self._stop.wait(PAUSE_S):
            number += 1
            name = CLIENTS[(place + number) % len(CLIENTS)]
            words, oldest = f"{place}-{number}", self.adopted()
            try:
                said = clients[name].generate(LLMRequest.of(words)).text
            except LoomError as error:
                said = repr(error)
            self._judge(name, words, said, oldest)

    def _in_loop(self, place: int) -> None:
        async def ask() -> None:
            number = 0
            while not self._stop.is_set():
                await asyncio.sleep(PAUSE_S)
                number += 1
                await asyncio.gather(self._call(place, number), self._streamed(place, number))

        asyncio.run(ask())

    async def _call(self, place: int, number: int) -> None:
        name = CLIENTS[(place + number) % len(CLIENTS)]
        words, oldest = f"{place}-{number}", self.adopted()
        try:
            said = (await self.container.llm_client(name).generate(LLMRequest.of(words))).text
        except LoomError as error:
            said = repr(error)
        self._judge(name, words, said, oldest)

    async def _streamed(self, place: int, number: int) -> None:
        name = CLIENTS[(place * number) % len(CLIENTS)]
        words, oldest = f"s{place}-{number}", self.adopted()
        try:
            async with self.container.llm_client(name).stream(LLMRequest.of(words)) as stream:
                _ = [event async for event in stream]
            said = stream.response.text
        except LoomError as error:
            said = repr(error)
        self._judge(name, words, said, oldest)

    def _judge(self, name: str, words: str, said: str, oldest: int) -> None:
        """An answer is right when it is this client's, to these words, of a version not older than the call."""
        model, _, echo = said.partition(" ")
        client, _, version = model.partition("-")
        right = client == name and echo == words and version.isdigit() and int(version) >= oldest
        with self._lock:
            self.asked += 1
            if not right:
                self.wrong.append(f"{name} {words}: {said} (since {oldest})")


class Edits:
    """Writes one configuration after the other: every second one is bad, in one of several ways."""

    def __init__(self, where: Path, near: str, far: str) -> None:
        self.where = where
        self.urls = {"near": near, "far": far}
        self.version = 0

    def good(self) -> None:
        """Write the next version; every model, place and pool policy may be another."""
        self.version += 1
        places = ("near", "far") if self.version % 3 else ("far", "near")
        changed = {
            name: f"{places[number % 2]}/{name}-{self.version - (number % 2)}" for number, name in enumerate(CLIENTS)
        }
        echoed(self.where, self.urls, changed, keepalive=10 + self.version % 4)

    def bad(self, kind: int) -> None:
        """Write what must never be in force."""
        file = self.where / "loomwire.yaml"
        text = file.read_text(encoding="utf-8").replace("-", "-bad")
        broken = (
            text[: len(text) // 2],
            text.replace('"version": 1', '"version": 2'),
            text.replace('"provider": "near"', '"provider": "nobody"', 1),
            text.replace('"models": [', '"modles": [', 1),
            "",
            text + "\0",
        )
        file.write_text(broken[kind % len(broken)], encoding="utf-8")


def percentile(values: list[float], share: float) -> float:
    """Return the value below which a share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def storm(
    container: LLMContainer, edits: Edits, reloads: int, in_force: list[int]
) -> tuple[list[float], set[weakref.ref[Generation]]]:
    """Reload so often, every second time what is bad; return the seconds each took, and the generations replaced."""
    took: list[float] = []
    seen: set[weakref.ref[Generation]] = set()
    for number in range(reloads):
        if number % 2:
            edits.bad(number // 2)
        else:
            edits.good()
            seen.add(weakref.ref(container._registry.generation))
        start = time.perf_counter()
        result = container.reload()
        took.append(time.perf_counter() - start)
        if result.outcome != ("rejected" if number % 2 else "adopted"):
            raise SystemExit(f"reload {number}: {result}")
        # Half of the clients name the version before, which is theirs all the same.
        in_force[0] = edits.version - 1
    return took, seen


def descriptors() -> int:
    """Return how many files and sockets the process holds."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def main(where: Path, near: str, far: str, reloads: int) -> dict[str, object]:
    """Reload so often under load and return what happened."""
    before = descriptors()
    edits = Edits(where, near, far)
    edits.good()
    in_force = [0]
    with LLMContainer.open(where, watch=False) as container:
        load = Load(container, lambda: in_force[0])
        began = time.perf_counter()
        with load.running():
            took, seen = storm(container, edits, reloads, in_force)
        rate = load.asked / (time.perf_counter() - began)
        gc.collect()
        health = container.health()
    return {
        "asked": load.asked,
        "per_s": round(rate),
        "wrong": load.wrong[:5],
        "alive": sum(pointer() is not None for pointer in seen),
        "draining": health.draining,
        "generation": health.generation,
        "descriptors": descriptors() - before,
        "ms": [round(1000 * percentile(took, share), 1) for share in (0.5, 0.99, 1)],
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))))  # noqa: T201
