"""FallbackClient: asks the targets of a client, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from typing_extensions import override

from loomwire.application.resilience.round import Round, Terms
from loomwire.application.selection.options import Option
from loomwire.application.streaming import Streaming, WrappedStream
from loomwire.domain.errors import LoomError
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse


class FallbackClient(ILLMClient):
    """Asks one target after the other until one answers, in the order of the client's rule.

    - What a target is known not to do, or too short a window for the request, drops it for this call.
    - Resting keys and models and open circuits come last. Nobody is refused only because everybody rests. When every
      circuit is open, the one that is the first to be asked again is tried now and then, all other calls fail at once.
    - Another target is asked where the disposition of the failure says so and `total_attempts` and the deadline allow
      it; a target that is not the last one has its share of the time. Anything else is raised as it came.
    - A stream falls back only while it is being entered.

    How every target does is counted in its load: answers, failures and rests, and calls in flight. Cancellation and
    errors of the caller count for nothing. With one target the call costs about a microsecond more.

    Raises `AllTargetsFailedError` when more than one target was tried or refused by its circuit; a single target's own
    error otherwise. Both carry the steps of all targets in order.

    Args:
        clients: The chain of each option.
        terms: The terms.
    """

    __slots__ = ("_clients", "_only", "_terms")

    def __init__(self, clients: Sequence[ILLMClient], terms: Terms) -> None:
        """Ask `clients`, one for each of the terms' options."""
        self._clients = dict(zip(terms.options, clients, strict=True))
        self._only = terms.options[0] if len(terms.options) == 1 else None
        self._terms = terms

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        only = self._only
        if only is not None and only.circuit.is_closed:
            return await self._asked(only, request)
        turn = Round(self._terms, request, streamed=False)
        while (option := turn.next()) is not None:
            try:
                response = await self._asked(option, turn.request_for(option))
            except LoomError as error:
                if not turn.goes_on(option, error):
                    raise
            else:
                return turn.told(response, option)
        # Outside the handler, or it would carry the last failure, and its frames, as its context.
        raise turn.exhausted()

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return _FallbackStreaming(self._clients, self._terms, request)

    @override
    def __repr__(self) -> str:
        chains = [repr(client) for client in self._clients.values()]
        rule = self._terms.balance.policy
        return f"Fallback > {chains[0]}" if len(chains) == 1 else f"Fallback({rule}) > [{' | '.join(chains)}]"

    async def _asked(self, option: Option, request: LLMRequest) -> LLMResponse[str]:
        load, clock = option.load, self._terms.clock
        load.began()
        try:
            began = clock.now()
            response = await self._clients[option].generate(request)
            ended = clock.now()
            load.answered(ended - began, ended)
        except LoomError as error:
            option.failed(error, clock.now())
            raise
        finally:
            load.left()
        return response


class _FallbackStreaming(Streaming):
    """Enters the stream of whoever answers; counts it off when it is left."""

    __slots__ = ("_clients", "_open", "_request", "_steps", "_terms")

    def __init__(self, clients: dict[Option, ILLMClient], terms: Terms, request: LLMRequest) -> None:
        super().__init__()
        self._clients = clients
        self._terms = terms
        self._request = request
        self._open: tuple[Option, LLMStream] | None = None
        self._steps: tuple[Step, ...] = ()

    @override
    async def opened(self) -> LLMStream:
        turn = Round(self._terms, self._request, streamed=True)
        while (option := turn.next()) is not None:
            try:
                stream = await self._begun(option, turn.request_for(option))
            except LoomError as error:
                if not turn.goes_on(option, error):
                    raise
            else:
                self._open, self._steps = (option, stream), turn.closing(option)
                return _NotedStream(stream, self._steps) if self._steps else stream
        raise turn.exhausted()

    async def _begun(self, option: Option, request: LLMRequest) -> LLMStream:
        clock = self._terms.clock
        option.load.began()
        try:
            began = clock.now()
            stream = await self.enter(self._clients[option].stream(request))
        except BaseException as error:
            option.load.left()
            if isinstance(error, LoomError):
                option.failed(error, clock.now())
            raise
        ended = clock.now()
        option.load.answered(ended - began, ended)
        return stream

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left, self._open = self._open, None
        if left is None:
            return
        option, stream = left
        # Before anything is awaited: whatever comes after, the call is counted off.
        option.load.left()
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            # After the layers below noted their steps, which they do when they are left.
            broken = stream.error
            if broken is not None:
                option.failed(broken, self._terms.clock.now())
                broken.steps = (*self._steps, *broken.steps)


class _NotedStream(WrappedStream):
    """A stream with the steps of what came before it on its response."""

    __slots__ = ("_steps",)

    def __init__(self, inner: LLMStream, steps: tuple[Step, ...]) -> None:
        super().__init__(inner)
        self._steps = steps

    @property
    @override
    def response(self) -> LLMResponse[str]:
        response = self.inner.response
        for step in reversed(self._steps):
            response = response.with_step(step)
        return response
