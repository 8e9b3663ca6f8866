"""What a hit costs on each level, and what it costs to make room."""

from __future__ import annotations

import json
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx

from benchmarks.caching.server import FAST
from benchmarks.caching.workload import prompt
from benchmarks.payloads import ANSWER
from benchmarks.worker import must_be, settled
from loomwire import ILLMClient, LLMContainer, LLMRequest
from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.caching.policies import MemoryLevel
from loomwire.infrastructure.caching.memory import MemoryCache

ENTRIES: Final = 10_000
_ENTRY: Final = bytes(1000)


@contextmanager
def redis_server() -> Iterator[str | None]:
    """Run a Redis server that writes nothing to disk, and yield its URL; None where there is none on this machine."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    with TemporaryDirectory(prefix="loomwire-bench-") as folder:
        argv = [
            program,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            folder,
        ]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                yield f"redis://127.0.0.1:{port}/0" if _answers(port) else None
            finally:
                process.terminate()


def _answers(port: int) -> bool:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
            return True
        time.sleep(0.02)
    return False


def write_config(folder: Path, url: str, redis: str | None) -> None:
    """Write one client without a cache, and one for each level."""
    places = [f"disk: {{path: {json.dumps(str(folder / 'cache.sqlite'))}}}"]
    places += [] if redis is None else [f"redis: {{url: {json.dumps(redis)}, timeout: 1}}"]
    clients = {"bare": "{mode: off}", "memory": "{mode: always, levels: [memory]}"}
    clients["disk"] = "{mode: always, levels: [disk]}"
    clients |= {} if redis is None else {"redis": "{mode: always, levels: [redis]}"}
    lines = [
        "version: 1",
        "providers:",
        f"  server: {{type: custom, dialect: openai_chat, base_url: {json.dumps(url)}, allow_private: true}}",
        "models: {m: {provider: server, model: m}}",
        f"cache: {{{', '.join(places)}}}",
        "clients:",
        *(f"  {name}: {{models: [m], cache: {cache}}}" for name, cache in clients.items()),
    ]
    (folder / "bench.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def asking(container: LLMContainer, name: str) -> Callable[[str], Awaitable[str]]:
    """Return what asks a client."""
    client = container.resolve(ILLMClient, name)

    async def ask(text: str) -> str:
        return (await client.generate(LLMRequest.of(text))).text

    return ask


async def hit_cpu_us(container: LLMContainer, count: int) -> float:
    """Return the CPU time of one hit in memory, its request and key included."""
    client = container.resolve(ILLMClient, "memory")
    text = prompt(0)
    must_be((await client.generate(LLMRequest.of(text))).text, ANSWER)
    clock = settled()
    for _ in range(count):
        await client.generate(LLMRequest.of(text))
    cpu = clock.per(count)["cpu"] * 1e6
    must_be(str((await client.generate(LLMRequest.of(text))).cached), "True")
    return cpu


async def hit_wall_us(container: LLMContainer, name: str, count: int) -> float:
    """Return the wall time of one hit on a level, the median."""
    client = container.resolve(ILLMClient, name)
    request = LLMRequest.of(prompt(0))
    await client.generate(request)
    must_be(str((await client.generate(request)).cached), "True")
    return await _median_us(lambda: client.generate(request), count)


async def get_us(url: str, count: int) -> float:
    """Return the wall time of a bare GET of a value of 2 KB, the median."""
    from redis.asyncio import Redis

    async with Redis.from_url(url) as redis:
        await redis.set("bench", bytes(2048))
        return await _median_us(lambda: redis.get("bench"), count)


async def _median_us(ask: Callable[[], Awaitable[object]], count: int) -> float:
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        await ask()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6


async def evict_us(count: int) -> float:
    """Return what a write costs more when it has to make room among `ENTRIES` others."""
    full = MemoryCache(MemoryLevel(size_bytes=64 * 2**20))
    keys = [CacheKey("bench", number.to_bytes(32, "big")) for number in range(ENTRIES + 2 * count)]
    for key in keys[:ENTRIES]:
        await full.set(key, _ENTRY, ttl_s=3600)
    growing = await _writes_us(full, keys[ENTRIES : ENTRIES + count])
    size = full.statistics().size_bytes or 0
    tight = MemoryCache(MemoryLevel(size_bytes=size * ENTRIES // (ENTRIES + count)))
    for key in keys[:ENTRIES]:
        await tight.set(key, _ENTRY, ttl_s=3600)
    evicting = await _writes_us(tight, keys[ENTRIES : ENTRIES + count])
    must_be(str(tight.statistics().evictions > count // 2), "True")
    return max(0.0, evicting - growing)


async def _writes_us(cache: MemoryCache, keys: list[CacheKey]) -> float:
    clock = settled()
    for key in keys:
        await cache.set(key, _ENTRY, ttl_s=3600)
    return clock.per(len(keys))["cpu"] * 1e6


async def yardstick_us(url: str, count: int) -> float:
    """Return the CPU time of a call of raw httpx, by which the speed of a machine is told."""
    body = {"model": FAST, "messages": [{"role": "user", "content": "Hi"}]}
    async with httpx.AsyncClient() as client:
        await client.post(f"{url}/chat/completions", json=body)
        clock = settled()
        for _ in range(count):
            (await client.post(f"{url}/chat/completions", json=body)).json()
        return clock.per(count)["cpu"] * 1e6
