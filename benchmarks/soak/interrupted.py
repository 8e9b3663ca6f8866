"""Streams that break after their first words: every one ends in an error that holds exactly what was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from benchmarks.soak.chain import CLIENT, QUICK, configuration, opened, shared_out
from benchmarks.soak.endpoints import endpoints
from benchmarks.soak.figures import Measured
from benchmarks.soak.weather import BROKEN, Weather, reply_to, words_of
from loomwire import ILLMClient, LLMRequest
from loomwire.domain.errors import LoomError, StreamInterruptedError
from loomwire.domain.events import TextDelta

AT_ONCE: Final = 64
_BREAKING: Final = Weather(share=1.0, streamed=BROKEN)
# Every stream breaks, so every circuit would open.
_NEVER: Final = {"consecutive": 1_000_000, "min_calls": 1_000_000}


async def interrupted(calls: int) -> Sequence[Measured]:
    """Read so many streams, each of which breaks in its middle."""
    ends: Counter[str] = Counter()
    async with (
        endpoints(2) as servers,
        opened(configuration(servers.urls, defaults={**QUICK, "breaker": _NEVER})) as container,
    ):
        client = container.resolve(ILLMClient, CLIENT)
        before = await servers.become(_BREAKING)

        async def work(number: int) -> None:
            ends[await _read(client, number)] += 1

        await shared_out(work, range(calls), AT_ONCE)
        after = await servers.counted()
    requests = sum(one.requests for one in after) - sum(one.requests for one in before)
    return (
        Measured(title="interrupted, with exactly what was said", value=ends["exact"], bar=calls, more_is_better=True),
        Measured(title="interrupted, with something else", value=ends["inexact"], bar=0),
        Measured(title="taken for finished", value=ends["finished"], bar=0),
        Measured(title="other errors", value=ends["other"], bar=0),
        Measured(title="requests per call", value=requests / calls, unit="x", bar=1.0),
    )


async def _read(client: ILLMClient, number: int) -> str:
    said = ""
    try:
        async with client.stream(LLMRequest.of(words_of(number))) as stream:
            async for event in stream:
                said += event.text if isinstance(event, TextDelta) else ""
    except StreamInterruptedError as error:
        is_exact = said and error.partial_text == said and reply_to(words_of(number)).text.startswith(said)
        return "exact" if is_exact else "inexact"
    except LoomError as error:
        print(f"  call {number}: {error}")
        return "other"
    return "finished"
