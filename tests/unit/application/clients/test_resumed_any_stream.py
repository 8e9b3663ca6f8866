"""ResumedClient over streams that break anywhere: what its reader keeps is the answer, whole and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from loomwire.application.resilience.delays import sends_of
from loomwire.domain.errors import LLMTemporaryError, StreamInterruptedError
from loomwire.domain.events import StreamRestarted, TextDelta
from loomwire.domain.policies import RetryBudgetPolicy, RetryPolicy
from loomwire.testing import FakeClock, Reply
from loomwire.testing.scripted import Scripted
from support.chains import HI
from support.falling import at, client_of, falling, says
from support.retrying import ended

WORDS = "one two three four five six"
BREAKS = st.lists(st.integers(0, len(WORDS) + 3) | st.just(None), max_size=10)
"""After how many characters each send breaks; None for one that fails before it begins."""


@given(BREAKS, st.integers(1, 3), st.integers(1, 9))
def test_what_is_kept_is_the_answer_or_exactly_what_was_delivered(
    breaks: list[int | None], attempts: int, total: int
) -> None:
    kept: list[str] = []
    voids = 0

    async def check() -> None:
        nonlocal voids
        clock = FakeClock()
        down = LLMTemporaryError("down")
        replies: list[Scripted] = [down if cut is None else Reply(WORDS, cut_after=cut) for cut in breaks]
        leaf = says(*replies, then=WORDS, name="a/m")
        retry = RetryPolicy(attempts=min(attempts, total), total_attempts=total)
        target = replace(at("a/m", retry=retry), retry_budget=RetryBudgetPolicy(floor_per_s=1000.0))
        made = falling(client_of(target), {"a/m": leaf}, clock=clock)

        async def read() -> tuple[str, int]:
            nonlocal voids
            async with made.client.stream(replace(HI, resume="restart", deadline_s=10_000.0)) as stream:
                async for event in stream:
                    if isinstance(event, StreamRestarted):
                        kept.clear()
                        voids += 1
                    elif isinstance(event, TextDelta):
                        kept.append(event.text)
                return stream.response.text, sends_of(stream.response.steps)

        try:
            whole, sends = await ended(clock, read())
        except (StreamInterruptedError, LLMTemporaryError) as error:
            whole = error.partial_text if isinstance(error, StreamInterruptedError) else ""
            sends = sends_of(error.steps)
            began = isinstance(error, StreamInterruptedError)
        else:
            began = whole == WORDS
        assert "".join(kept) == whole
        assert began or voids == 0
        assert sends == len(leaf.requests) <= max(total, 1)
        assert leaf.open_streams == 0
        assert clock.waiting == 0

    asyncio.run(check())
