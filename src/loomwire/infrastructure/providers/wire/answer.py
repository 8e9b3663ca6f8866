"""Collects one answer, whole or streamed, and turns it into a response or into an honest interruption."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from typing_extensions import Unpack, override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, StreamInterruptedError, llm_error
from loomwire.domain.events import (
    Finished,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageUpdate,
)
from loomwire.domain.messages import Reasoning
from loomwire.domain.policies import WireLimits
from loomwire.domain.ports.client import LLMStream
from loomwire.domain.pricing import FREE, NO_USAGE, Charge, Unpriced, Usage
from loomwire.domain.reports.context import ErrorContext
from loomwire.domain.responses import Finish, LLMResponse, RateLimits
from loomwire.domain.values import ToolCall
from loomwire.infrastructure.providers.wire.json_bytes import parse_arguments
from loomwire.infrastructure.providers.wire.said import Said
from loomwire.infrastructure.providers.wire.words import label

MOST_CALLS = 1024
"""Calls of one answer; vendors take 128 tools at most."""

_DEPTH = WireLimits().json_depth


def made_up_id() -> str:
    """Return an id for a call that came without (27): nine letters and digits, which every vendor takes back."""
    return os.urandom(5).hex()[:9]


class PendingCall:
    """A tool call whose arguments still come."""

    __slots__ = ("arguments", "id", "index", "name", "signature")

    def __init__(self, index: int, id: str, name: str) -> None:
        """Begin a call at `index` of its answer."""
        self.index = index
        self.id = id
        self.name = name
        self.arguments = Said()
        self.signature: str | None = None

    def close(self, depth: int = _DEPTH) -> ToolCall:
        """Parse what came. Empty text and null mean no arguments; text that is no JSON object is kept raw."""
        raw = self.arguments.text()
        arguments = parse_arguments(raw, depth)
        return ToolCall(self.id, self.name, arguments, "" if arguments is not None else raw, self.signature)


class Answer:
    """The answer to one attempt while it is being read: each method notes a piece and returns the event for it.

    Belongs to one task.

    Attributes:
        config: The target it comes from.
        usage: The usage so far.
        finish: Why it ended, once that is known.
        finish_wire: The provider's own word for that.
        finished: `end()` was called: the answer is whole.
        complete: False when the wire gave no terminal sign and the configuration allows that.
        model: The model that answers.
        request_id: The provider's id of the request.
        response_id: The provider's id of the answer.
        rate_limits: What the provider said is left of its rate limits.
        refusal: The text of a refusal.
        error: What ended the answer instead; whoever raises it to the reader notes it here.
    """

    __slots__ = (
        "_calls",
        "_closed",
        "_items",
        "_reasoning",
        "_response",
        "_text",
        "complete",
        "config",
        "error",
        "finish",
        "finish_wire",
        "finished",
        "model",
        "rate_limits",
        "refusal",
        "request_id",
        "response_id",
        "usage",
    )

    def __init__(self, config: LLMConfig) -> None:
        """Start with nothing; `config` names the target and its prices."""
        self.config = config
        self._text = Said()
        self._reasoning = Said()
        self._items: list[Reasoning] = []
        self._calls: list[PendingCall] = []
        self._closed: tuple[ToolCall, ...] = ()
        self._response: LLMResponse[str] | None = None
        self.usage = NO_USAGE
        self.finish: Finish | None = None
        self.finish_wire: str | None = None
        self.finished = False
        self.complete = True
        self.model = config.model
        self.request_id: str | None = None
        self.response_id: str | None = None
        self.rate_limits: RateLimits | None = None
        self.refusal: str | None = None
        self.error: LLMError | None = None

    @property
    def delivered(self) -> bool:
        """Whether anything a caller can see has come: text, thinking or a tool call."""
        return bool(self._text or self._reasoning or self._calls or self._items)

    @property
    def calls(self) -> list[PendingCall]:
        """The tool calls so far, in order."""
        return self._calls

    def add_text(self, text: str) -> TextDelta:
        """Note visible text."""
        self._text.add(text)
        return TextDelta(text)

    def add_reasoning(self, text: str) -> ReasoningDelta:
        """Note thinking that came as plain text."""
        self._reasoning.add(text)
        return ReasoningDelta(text)

    def keep_item(self, item: Reasoning) -> None:
        """Note a whole reasoning item that must go back unchanged; its text replaces the plain thinking."""
        self._items.append(item)

    def start_call(self, id: str, name: str) -> ToolCallStart:
        """Note a new tool call at the next index.

        Raises:
            LLMProtocolError: There are more than `MOST_CALLS` (too_large).
        """
        if len(self._calls) == MOST_CALLS:
            raise llm_error("too_large", f"the answer has more than {MOST_CALLS} tool calls", hint="Give fewer tools.")
        call = PendingCall(len(self._calls), id, name)
        self._calls.append(call)
        return ToolCallStart(call.index, id, name)

    def add_arguments(self, index: int, text: str) -> ToolCallDelta:
        """Note more of a call's arguments."""
        self._calls[index].arguments.add(text)
        return ToolCallDelta(index, text)

    def set_usage(self, usage: Usage) -> UsageUpdate:
        """Note the usage so far; it replaces what was known."""
        self.usage = usage
        return UsageUpdate(usage)

    def note_finish(self, word: object, known: Mapping[str, Finish]) -> None:
        """Note why it ends; a word that nobody knows is kept, and anything but text says nothing.

        Args:
            word: The provider's.
            known: What its words mean.
        """
        if isinstance(word, str) and word:
            meaning = known.get(word)
            self.finish = meaning or "other"
            self.finish_wire = word if meaning else label(word, self.config)

    def note_names(self, id: object, model: object) -> None:
        """Note what the provider calls the answer and the model; anything but text says nothing."""
        if isinstance(id, str) and id:
            self.response_id = label(id, self.config)
        if isinstance(model, str) and model:
            self.model = label(model, self.config)

    def forgive_cut(self, missing: str, *, begun: bool) -> None:
        """Note that the body ended without a terminal sign, if the configuration forgives that.

        Args:
            missing: What the sign would have been.
            begun: Something came that belongs to an answer of the dialect.

        Raises:
            StreamInterruptedError: It does not forgive that, or nothing came that a caller could see.
            LLMProtocolError: Nothing of an answer ever came; it was a page, for example.
        """
        if self.config.lenient_terminal and self.delivered:
            self.complete = False
        elif begun:
            raise self.interrupted(f"the stream ended without {missing}")
        else:
            raise llm_error("protocol", "the stream held no answer")

    def end(self) -> list[StreamEvent]:
        """Close the calls and the answer; returns their last events and `Finished`. Idempotent."""
        if self.finished:
            return []
        self.finished = True
        self._closed = self._parsed_calls()
        if self._closed and self.finish == "stop":
            # Several vendors say "stop" although the model wants its tools run (TRAPS.md 19).
            self.finish = "tool_calls"
        return [*(ToolCallEnd(i, call) for i, call in enumerate(self._closed)), Finished(self.finish)]

    def response(self) -> LLMResponse[str]:
        """Return the answer; valid once `end()` was called."""
        text = self._text.text()
        return LLMResponse(
            output=text,
            text=text,
            provider=self.config.name,
            model=self.model,
            tool_calls=self._closed,
            reasoning=self._thoughts(),
            finish=self.finish,
            usage=self.usage,
            cost=self._charge(),
            request_id=self.request_id,
            response_id=self.response_id,
            finish_wire=self.finish_wire,
            refusal=self.refusal,
            complete=self.complete,
            rate_limits=self.rate_limits,
        )

    def result(self) -> LLMResponse[str]:
        """Return the answer, always the same object.

        Raises:
            StreamInterruptedError: It is not whole; the error carries what came so far.
        """
        if self._response is None:
            if not self.finished:
                raise self.interrupted("the stream has not been read to its end")
            self._response = self.response()
        return self._response

    def interrupted(self, message: str, **context: Unpack[ErrorContext]) -> StreamInterruptedError:
        """Return an error that carries exactly what was delivered; not raised, not noted."""
        context.setdefault("provider", self.config.name)
        context.setdefault("model", self.config.model)
        context.setdefault("request_id", self.request_id)
        return StreamInterruptedError(
            message,
            partial_text=self._text.text(),
            partial_tool_calls=self._parsed_calls(),
            usage_so_far=self.usage if self.usage.known else None,
            **context,
        )

    def _parsed_calls(self) -> tuple[ToolCall, ...]:
        depth = self.config.limits.json_depth
        return tuple(call.close(depth) for call in self._calls)

    def _thoughts(self) -> tuple[Reasoning, ...]:
        thought = self._reasoning.text()
        if not thought or "".join(item.text for item in self._items) == thought:
            return tuple(self._items)
        # Vendors send the same thinking as text and as items (TRAPS.md 37): it is shown once and both can go back.
        items = (replace(item, text="") for item in self._items)
        return (Reasoning(thought), *items)

    def _charge(self) -> Charge:
        if self.config.free:
            return FREE
        prices = self.config.prices
        return Unpriced("no_price") if prices is None else prices.charge(self.usage)


class AnswerView(LLMStream):
    """What every stream over an `Answer` shows of it; whoever reads the stream gives the events."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Answer) -> None:
        """Show `answer`."""
        self._answer = answer

    @property
    @override
    def response(self) -> LLMResponse[str]:
        return self._answer.result()

    @property
    @override
    def error(self) -> LLMError | None:
        return self._answer.error

    @property
    @override
    def finished(self) -> bool:
        return self._answer.finished


class AnswerStream(AnswerView):
    """A stream over an `Answer`: iterating delivers the events, afterwards `response` is the whole answer.

    Whoever makes the events sets `answer.error` when it raises, so that the layers can tell a failed stream from one
    that its reader left.
    """

    __slots__ = ("_events",)

    def __init__(self, answer: Answer, events: AsyncIterator[StreamEvent]) -> None:
        """Deliver `events`, whose producer fills `answer`."""
        super().__init__(answer)
        self._events = events

    @override
    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return self._events
