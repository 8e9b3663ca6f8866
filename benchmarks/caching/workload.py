"""The workload of the cache benchmark: prompts that repeat as questions do, the same ones in every run.

Imports nothing of loomwire, because other libraries run it in environments of their own.

`CALLS` calls over `PROMPTS` different prompts of 2 KB. The n-th most frequent prompt is asked in proportion to 1/n
(Zipf's law with exponent 1), drawn with a fixed seed, by `WORKERS` at once, each of which asks the next one as soon as
it has its answer. The server takes `LATENCY_S` for each. Everybody begins with an empty cache.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

CALLS: Final = 1000
PROMPTS: Final = 150
WORKERS: Final = 8
LATENCY_S: Final = 0.05
SEED: Final = 2009
_FILLER: Final = "Answer in one sentence, in the tone of a patient teacher, and name no sources. "


def prompt(number: int) -> str:
    """Return a prompt of 2 KB; another one for every number."""
    return f"Question {number}: {_FILLER * 26}"[:2048]


def asked(calls: int = CALLS) -> Sequence[str]:
    """Return the prompts of all calls, in order."""
    draw = random.Random(SEED)  # not a secret, but the same in every run
    weights = [1 / (rank + 1) for rank in range(PROMPTS)]
    return [prompt(number) for number in draw.choices(range(PROMPTS), weights, k=calls)]


async def timed(ask: Callable[[str], Awaitable[str]], prompts: Sequence[str], answer: str) -> list[float]:
    """Ask everything and return the seconds of each call; fails on another answer than the expected one."""
    seconds: list[float] = []

    async def work(left: Iterator[str]) -> None:
        for text in left:
            began = time.perf_counter()
            said = await ask(text)
            seconds.append(time.perf_counter() - began)
            if said != answer:
                raise RuntimeError(f"the answer is {said[:40]!r}")

    left = iter(prompts)
    await asyncio.gather(*(work(left) for _ in range(WORKERS)))
    return seconds
