"""HedgedClient: a second send when the first is slower than 95 of 100; the answer that comes first counts."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

from typing_extensions import override

from loomwire.application.resilience.course import Retries
from loomwire.application.state.latencies import LatencyWindow
from loomwire.domain.errors import LoomError
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse

Ended: TypeAlias = LLMResponse[str] | Exception


class HedgedClient(ILLMClient):
    """Sends a second time when no answer came within the target's p95, and cancels the send that comes second.

    Opt-in, below the retry and above the guards, so that each of both sends has its own slot, hold and record: the
    cancelled one is booked by them as any cancelled call, and stands in the steps, so that it counts as a send. Never
    more than one extra send, never for a stream, never without a retry token of the endpoint, without the time to start
    an attempt, or beyond `total_attempts`. Nothing is hedged before 20 answers tell what slow is.

    Cancellation ends both sends before it goes on.

    Args:
        inner: The client below.
        retries: The terms of the retry above.
        latencies: How long the target's answers take.
    """

    __slots__ = ("_inner", "_latencies", "_retries")

    def __init__(self, inner: ILLMClient, retries: Retries, latencies: LatencyWindow) -> None:
        """Hedge the calls of `inner`."""
        self._inner = inner
        self._retries = retries
        self._latencies = latencies

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        slow_s = self._latencies.p95_s
        if slow_s is None or not self._may_send_twice(request, slow_s):
            began = self._retries.clock.now()
            response = await self._inner.generate(request)
            self._latencies.note(self._retries.clock.now() - began)
            return response
        ended = await self._raced(request, slow_s)
        if isinstance(ended, LLMResponse):
            return ended
        try:
            raise ended
        finally:
            # Its traceback holds this frame.
            del ended

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return self._inner.stream(request)

    @override
    def __repr__(self) -> str:
        return f"Hedged > {self._inner!r}"

    def _may_send_twice(self, request: LLMRequest, slow_s: float) -> bool:
        bound, most = request.bound, self._retries.policy.total_attempts
        sent = 0 if bound is None else bound.sent
        return sent + 2 <= most and self._retries.left_s(bound) >= slow_s

    async def _raced(self, request: LLMRequest, slow_s: float) -> Ended:
        began = self._retries.clock.now()
        # A group, because it waits for both sends whatever happens to this one, a second cancellation included.
        async with asyncio.TaskGroup() as sends:
            first = sends.create_task(self._sent(request))
            in_time = await self._ended_by(began + slow_s, first)
            alone = in_time or not self._can_afford()
            order = None if alone else await _in_order(first, sends.create_task(self._sent(request)))
        if order is None:
            return first.result()
        winner, loser = order
        if first.cancelled():
            # It took at least as long; without it the p95 would sink with every hedge that helped.
            self._latencies.note(self._retries.clock.now() - began)
        answered = "first_answered" if winner is first else "second_answered"
        outcome = "both_failed" if isinstance(winner.result(), Exception) else answered
        hedge = Step("hedge", self._retries.target, outcome, "", slow_s)
        return _with_steps(winner.result(), (*self._steps(loser, began), hedge))

    async def _sent(self, request: LLMRequest) -> Ended:
        began = self._retries.clock.now()
        try:
            response = await self._inner.generate(request)
        except Exception as error:  # noqa: BLE001  # raised by generate(): here it would reach it inside a group
            return error
        self._latencies.note(self._retries.clock.now() - began)
        return response

    async def _ended_by(self, at: float, send: asyncio.Task[Ended]) -> bool:
        try:
            async with self._retries.clock.timeout_at(at):
                await asyncio.wait((send,))
        except TimeoutError:
            pass
        return send.done()

    def _can_afford(self) -> bool:
        # As if there were another target: the last resort is for calls that would fail without it.
        return self._retries.allowance.take(1.0, self._retries.clock.now(), further=True) is not None

    def _steps(self, loser: asyncio.Task[Ended], began: float) -> tuple[Step, ...]:
        if loser.cancelled():
            return (Step("attempt", self._retries.target, "cancelled", "", 0.0, self._retries.clock.now() - began),)
        ended = loser.result()
        return ended.steps if isinstance(ended, LLMResponse | LoomError) else ()


async def _in_order(
    first: asyncio.Task[Ended], second: asyncio.Task[Ended]
) -> tuple[asyncio.Task[Ended], asyncio.Task[Ended]]:
    """Return the send that answered first, or failed last when none did, and the other one, cancelled by then."""
    await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED)
    early, late = (first, second) if first.done() else (second, first)
    if not isinstance(early.result(), Exception):
        late.cancel()
        return early, late
    await asyncio.wait((late,))
    return late, early


def _with_steps(ended: Ended, steps: tuple[Step, ...]) -> Ended:
    if isinstance(ended, LoomError):
        ended.steps = (*steps, *ended.steps)
    elif isinstance(ended, LLMResponse):
        for step in reversed(steps):
            ended = ended.with_step(step)
    return ended
