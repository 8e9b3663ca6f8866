"""Claims about leaving early, being cancelled and being shared."""

from __future__ import annotations

import asyncio

from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import LLMRequest
from loomwire.infrastructure.providers.offline.reply import Reply
from loomwire.testing.contracts.client_claims.harness import ANSWER, LONG, ClientHarness, streamed, text_of
from loomwire.testing.contracts.contract import cancelled_after, claim, expect, in_threads, same

POINTS = (0, 1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 50)
_SLOW = Reply(ANSWER, delay_s=0.05)
_LONG = Reply(LONG)
_SHARERS = 20
_THREADS = 4


class LeavingClaims(ClientHarness):
    """What is left behind, and who may share a client."""

    @claim
    async def test_leaving_a_stream_early_gives_everything_back(self) -> None:
        """A stream may be left at any time: nothing stays in use, and the client answers the next call."""
        async with self.client_answering(_LONG) as client:
            async with client.stream(self.request()):
                pass
            same(self.in_use(client), 0, "what is in use after leaving without reading")
            async with client.stream(self.request()) as stream:
                async for _ in stream:
                    break
            same(self.in_use(client), 0, "what is in use after one event")
            expect(not stream.finished, "a stream that was left early says it is finished")
            same(text_of(await streamed(client, self.request())), _LONG.text, "the next answer")

    @claim
    async def test_generate_can_be_cancelled_at_any_await(self) -> None:
        """Cancelling `generate` at any await ends it with CancelledError, at once, and gives everything back."""
        async with self.client_answering(_SLOW) as client:
            met = [await cancelled_after(point, client.generate(self.request())) for point in POINTS]
            expect(any(met), "the answer was there before it could be cancelled: the delay was not played")
            same(self.in_use(client), 0, "what is in use afterwards")
            same((await client.generate(self.request())).text, ANSWER, "the next answer")

    @claim
    async def test_entering_a_stream_can_be_cancelled_at_any_await(self) -> None:
        """Cancelling the entering of a stream ends it with CancelledError, at once, and gives everything back."""
        async with self.client_answering(_SLOW) as client:
            met = [await cancelled_after(point, streamed(client, self.request())) for point in POINTS]
            expect(any(met), "the answer was there before it could be cancelled: the delay was not played")
            same(self.in_use(client), 0, "what is in use afterwards")
            same(text_of(await streamed(client, self.request())), ANSWER, "the next answer")

    @claim
    async def test_reading_a_stream_can_be_cancelled_at_any_event(self) -> None:
        """Cancelling the reader of a stream ends it with CancelledError, and gives everything back."""
        async with self.client_answering(_LONG) as client:
            for point in POINTS:
                await _cancelled_reading(client, self.request(), point + 1)
                same(self.in_use(client), 0, f"what is in use after a reader was cancelled {point + 1} events on")
                await cancelled_after(point, streamed(client, self.request()))
                same(self.in_use(client), 0, f"what is in use after a reader was cancelled {point} turns on")
            same(text_of(await streamed(client, self.request())), _LONG.text, "the next answer")

    @claim
    async def test_it_is_shared_by_tasks(self) -> None:
        """Many tasks may ask one client at the same time, whole and streamed; each gets its own answer."""
        async with self.client_answering(Reply(ANSWER)) as client:
            answers, streams = await asyncio.gather(
                asyncio.gather(*(client.generate(self.request()) for _ in range(_SHARERS))),
                asyncio.gather(*(streamed(client, self.request()) for _ in range(_SHARERS))),
            )
            same({answer.text for answer in answers}, {ANSWER}, "what the tasks were answered")
            same({text_of(events) for events in streams}, {ANSWER}, "what the streams said")
            same(self.in_use(client), 0, "what is in use afterwards")

    @claim
    async def test_it_is_shared_by_threads_and_loops(self) -> None:
        """Threads with event loops of their own may ask one client at the same time."""
        async with self.client_answering(Reply(ANSWER)) as client:

            async def ask() -> tuple[str, str]:
                """Ask once whole and once as a stream."""
                answer = await client.generate(self.request())
                return answer.text, text_of(await streamed(client, self.request()))

            said = await in_threads(_THREADS, ask)
            same(set(said), {(ANSWER, ANSWER)}, "what the threads were answered")
            same((await client.generate(self.request())).text, ANSWER, "the answer on the first loop afterwards")


async def _cancelled_reading(client: ILLMClient, request: LLMRequest, point: int) -> None:
    """Read a stream and be cancelled after so many events."""
    task = asyncio.ensure_future(_reading(client, request, point))
    await asyncio.wait({task})
    if not task.cancelled():
        expect(task.result() < point, f"a reader that was cancelled after {point} events ended as if it were not")


async def _reading(client: ILLMClient, request: LLMRequest, point: int) -> int:
    count = 0
    async with client.stream(request) as stream:
        async for _ in stream:
            count += 1
            if count == point:
                await _cancel_me()
    return count


async def _cancel_me() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.cancel()
    await asyncio.sleep(0)
