"""EmulatedClient: tools for a model that has none."""

from __future__ import annotations

from collections import deque
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from typing_extensions import override

from loomwire.application.emulation.plan import Plan, called, is_cut
from loomwire.application.streaming import Streaming
from loomwire.application.typed.spending import Spending
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, StreamInterruptedError, llm_error
from loomwire.domain.events import (
    Finished,
    ReasoningDelta,
    StreamEvent,
    StreamRestarted,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageUpdate,
)
from loomwire.domain.messages import Reasoning
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.pricing import Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import ToolCall

_SEEN = (TextDelta, ReasoningDelta, ToolCallStart, Finished)
_HINT = "Ask again, give fewer and simpler tools, or use a model that has tools."


class EmulatedClient(ILLMClient):
    """Describes the tools in the prompt and reads the calls out of the answer; the answer says `emulated`.

    A target known to keep to a JSON Schema or to JSON answers with one object, whose text is never searched for calls;
    any other answers in prose. A call of an unknown tool, one that cannot be read, and an answer without the call that
    the request forces are protocol errors: nothing is run and nothing is hidden. A call that the token limit cut has no
    arguments. Usage and cost are the provider's. Requests that have nothing to do with tools pass untouched.

    Args:
        inner: The client below.
        config: The target.
    """

    __slots__ = ("_config", "_inner")

    def __init__(self, inner: ILLMClient, config: LLMConfig) -> None:
        """Give `inner` tools."""
        self._inner = inner
        self._config = config

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        plan = Plan.of(request, self._config)
        if plan is None:
            return await self._inner.generate(request)
        response = await self._inner.generate(plan.request)
        reader = plan.reader()
        text = reader.feed(response.text)
        read = reader.end(cut=is_cut(response.finish))
        response = _with_thought(response, reader.thought())
        problem = plan.problem(read, response)
        if problem is not None:
            raise self.refused(problem, response)
        return self.answer(plan, response, text + read.text, plan.calls(read.calls, response.tool_calls))

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return _EmulatedStreaming(self, self._inner, self._config, request)

    def answer(
        self, plan: Plan, response: LLMResponse[str], text: str, calls: tuple[ToolCall, ...]
    ) -> LLMResponse[str]:
        """Return an answer with its text and its calls told apart."""
        step = Step("emulated", self._config.target, "called" if calls else "answered")
        return replace(
            response,
            output=text,
            text=text,
            tool_calls=calls,
            finish=plan.finish(response.finish, calls),
            steps=(step, *response.steps),
            emulated=True,
        )

    def refused(self, problem: str, response: LLMResponse[str]) -> LLMError:
        """Return the error for an answer that must not be handed out; not raised. It was paid for, and says so."""
        error = llm_error(
            "protocol",
            f"emulated tools: {problem}",
            provider=response.provider or self._config.name,
            model=response.model or self._config.model,
            request_id=response.request_id,
            hint=_HINT,
        )
        spending = Spending()
        spending.add(response)
        spending.charge(error)
        return error.with_step(Step("emulated", self._config.target, "failed", "protocol"))

    @override
    def __repr__(self) -> str:
        return f"Emulated > {self._inner!r}"


class _EmulatedStreaming(Streaming):
    """Plans the request when it is entered, and waits for the first event that the caller may see."""

    __slots__ = ("_config", "_inner", "_owner", "_request")

    def __init__(self, owner: EmulatedClient, inner: ILLMClient, config: LLMConfig, request: LLMRequest) -> None:
        super().__init__()
        self._owner = owner
        self._inner = inner
        self._config = config
        self._request = request

    @override
    async def opened(self) -> LLMStream:
        plan = Plan.of(self._request, self._config)
        if plan is None:
            return await self.enter(self._inner.stream(self._request))
        stream = _EmulatedStream(self._owner, plan, await self.enter(self._inner.stream(plan.request)))
        try:
            await stream.begin()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return stream


class _EmulatedStream(LLMStream):
    """The inner stream with its calls told from its text. Text goes on at once, unless only a call is an answer."""

    __slots__ = (
        "_begun",
        "_calls",
        "_delivered",
        "_error",
        "_events",
        "_inner",
        "_owner",
        "_plan",
        "_reader",
        "_ready",
        "_response",
        "_said",
        "_thought",
        "_usage",
    )

    def __init__(self, owner: EmulatedClient, plan: Plan, inner: LLMStream) -> None:
        self._owner = owner
        self._plan = plan
        self._inner = inner
        self._events = inner.__aiter__()
        self._reader = plan.reader()
        self._ready: deque[StreamEvent] = deque()
        self._said: list[str] = []
        self._thought = ""
        self._delivered: list[str] = []
        self._calls: tuple[ToolCall, ...] = ()
        self._usage: Usage | None = None
        self._error: LLMError | None = None
        self._response: LLMResponse[str] | None = None
        self._begun = False

    @override
    def __aiter__(self) -> _EmulatedStream:
        return self

    async def __anext__(self) -> StreamEvent:
        """Return the next event."""
        while not self._ready:
            await self._advance()
        event = self._ready.popleft()
        if isinstance(event, TextDelta):
            self._delivered.append(event.text)
        return event

    @property
    @override
    def response(self) -> LLMResponse[str]:
        if self._response is None or self._ready:
            raise self._interrupted("the stream has not been read to its end")
        return self._response

    @property
    @override
    def error(self) -> LLMError | None:
        return self._error

    async def begin(self) -> None:
        """Wait for the first event that a caller can see; an answer of nothing but a bad call is refused here.

        Raises:
            LLMError: Nothing was handed out before it.
        """
        while not any(isinstance(event, _SEEN) for event in self._ready):
            await self._advance()
        self._begun = True

    async def _advance(self) -> None:
        if self._error is not None:
            raise self._error
        try:
            event = await self._events.__anext__()
        except LLMError as error:
            if isinstance(error, StreamInterruptedError):
                # It tells what came below, the text of calls among it.
                error.partial_text, error.partial_tool_calls = "".join(self._delivered), self._calls
            self._error = error
            raise
        self._take(event)

    def _take(self, event: StreamEvent) -> None:
        if isinstance(event, TextDelta):
            text = self._reader.feed(event.text)
            self._think(self._reader.thought())
            self._say(text)
        elif isinstance(event, Finished):
            self._finish()
        elif isinstance(event, StreamRestarted):
            self._ready.append(event)
            self._reader = self._plan.reader()
            self._said.clear()
            self._thought = ""
            self._delivered.clear()
        elif not isinstance(event, ToolCallStart | ToolCallDelta | ToolCallEnd):
            self._usage = event.usage if isinstance(event, UsageUpdate) else self._usage
            self._ready.append(event)

    def _think(self, thought: str) -> None:
        if thought:
            self._thought = thought
            self._ready.append(ReasoningDelta(thought))

    def _say(self, text: str) -> None:
        if text:
            self._said.append(text)
            if not self._plan.must_call:
                self._ready.append(TextDelta(text))

    def _finish(self) -> None:
        response = _with_thought(self._inner.response, self._thought)
        read = self._reader.end(cut=is_cut(response.finish))
        problem = self._plan.problem(read, response)
        if problem is not None:
            self._refuse(self._owner.refused(problem, response))
            return
        self._say(read.text)
        text = "".join(self._said)
        if self._plan.must_call and text:
            self._ready.append(TextDelta(text))
        self._calls = self._plan.calls(read.calls, response.tool_calls)
        for index, call in enumerate(self._calls):
            self._ready += called(index, call)
        self._response = self._owner.answer(self._plan, response, text, self._calls)
        self._ready.append(Finished(self._response.finish))

    def _refuse(self, refused: LLMError) -> None:
        self._error = refused
        if self._begun:
            broken = self._interrupted(f"the stream broke off: {refused.message}", refused.reason)
            broken.located(refused.provider or "", refused.model or "")
            broken.category, broken.steps, broken.hint = refused.category, refused.steps, refused.hint
            broken.disposition = refused.disposition.after_delivery()
            broken.phase = "stream_after_token"
            broken.metadata = {**refused.metadata, "cause": refused.reason}
            self._error = broken

    def _interrupted(self, message: str, reason: str | None = None) -> StreamInterruptedError:
        return StreamInterruptedError(
            message,
            reason=reason,
            partial_text="".join(self._delivered),
            partial_tool_calls=self._calls,
            usage_so_far=self._usage,
        )


def _with_thought(response: LLMResponse[str], thought: str) -> LLMResponse[str]:
    return replace(response, reasoning=(*response.reasoning, Reasoning(thought))) if thought else response
