"""Plans one emulated call: the request as the model gets it, and how its answer is read."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace

from loomwire.application.emulation.calls import Found
from loomwire.application.emulation.envelope import EnvelopeReader
from loomwire.application.emulation.prose import ProseReader
from loomwire.application.emulation.reader import Read, Reader
from loomwire.application.emulation.schemas import envelope_schema
from loomwire.application.emulation.wording import instructions, is_about_tools, retold, said_by_others, told
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError
from loomwire.domain.events import StreamEvent, ToolCallDelta, ToolCallEnd, ToolCallStart
from loomwire.domain.messages import Message
from loomwire.domain.requests import LLMRequest, OutputSpec
from loomwire.domain.responses import Finish, LLMResponse
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import ToolCall

NO_CALL = "the model called no tool, although the request forces a call"

_ENDED = ("stop", "tool_calls", None)


@dataclass(frozen=True, slots=True)
class Plan:
    """How one request is asked of a model that has no tools.

    Attributes:
        request: As the model gets it: without tools, and without calls and results in its conversation.
        original: As the caller made it.
        tools: What may be called; empty when nothing may be.
        enveloped: The model answers with one JSON object.
    """

    request: LLMRequest
    original: LLMRequest
    tools: tuple[Tool, ...]
    enveloped: bool

    @classmethod
    def of(cls, request: LLMRequest, config: LLMConfig) -> Plan | None:
        """Return the plan for a request, or None when it has nothing to do with tools.

        Raises:
            CapabilityError: The answer must be JSON, and the target is not known to keep to JSON.
            LLMValidationError: An argument or a result in the conversation is no JSON.
        """
        about_tools = is_about_tools(request.messages)
        if not request.tools and not about_tools:
            return None
        tools = _callable(request)
        output = _output(request, config, tools) if tools else None
        messages = retold(request.messages, enveloped=output is not None) if about_tools else request.messages
        if tools:
            words = instructions(tools, request.tool_choice, enveloped=output is not None)
            messages = told(messages, words)
        asked = replace(
            request,
            messages=messages,
            tools=(),
            tool_choice="none",
            output=output if tools else request.output,
        )
        return cls(asked, request, tools, output is not None)

    @property
    def must_call(self) -> bool:
        """Whether only a call is an answer."""
        return bool(self.tools) and self.original.tool_choice != "auto"

    def reader(self) -> Reader:
        """Return what reads one answer apart."""
        names = {tool.name for tool in self.tools}
        quoted = said_by_others(self.original.messages)
        return EnvelopeReader(names, quoted) if self.enveloped else ProseReader(names, quoted)

    def problem(self, read: Read, response: LLMResponse[str]) -> str | None:
        """Return why an answer must not be handed out, or None; quotes nothing."""
        if read.problem is not None or read.calls or response.tool_calls or not self.must_call:
            return read.problem
        ended = response.finish in _ENDED and response.refusal is None and not response.degraded
        return NO_CALL if ended else None

    def calls(self, found: tuple[Found, ...], before: tuple[ToolCall, ...] = ()) -> tuple[ToolCall, ...]:
        """Return what was found as calls, with ids that the conversation does not have; the same for the same one."""
        taken = {call.id for call in before} | {*_ids(self.original.messages)}
        number, calls = sum(map(_count, self.original.messages)), list(before)
        for each in found:
            number += 1
            while f"call_{number}" in taken:
                number += 1
            calls.append(ToolCall(f"call_{number}", each.name, each.arguments, each.raw))
        return tuple(calls)

    def finish(self, finish: Finish | None, calls: Collection[ToolCall]) -> Finish | None:
        """Return why an answer ended, with its calls known."""
        return "tool_calls" if calls and finish in _ENDED else finish


def called(index: int, call: ToolCall) -> tuple[StreamEvent, ...]:
    """Return the events of a call that is whole."""
    raw = call.raw_arguments
    if call.arguments is not None:
        raw = json.dumps(call.arguments, ensure_ascii=False, separators=(",", ":"), default=dict)
    return (ToolCallStart(index, call.id, call.name), ToolCallDelta(index, raw), ToolCallEnd(index, call))


def is_cut(finish: Finish | None) -> bool:
    """Tell whether an answer may lack its end."""
    return finish not in _ENDED


def _callable(request: LLMRequest) -> tuple[Tool, ...]:
    choice = request.tool_choice
    if isinstance(choice, ToolNamed):
        return tuple(tool for tool in request.tools if tool.name == choice.name)
    return () if choice == "none" else request.tools


def _output(request: LLMRequest, config: LLMConfig, tools: tuple[Tool, ...]) -> OutputSpec | None:
    """Return the form that the target is known to keep to, or None for prose."""
    can, wanted = config.capabilities, request.output
    must_call = request.tool_choice != "auto"
    if can.supports_json_schema:
        answer = None if wanted is None else wanted.schema or {"type": "object"}
        return OutputSpec(envelope_schema(tools, answer, must_call=must_call), "answer", strict=False)
    if can.supports_json_mode and (must_call or wanted is None or wanted.schema is None):
        return OutputSpec(None, "answer")
    if wanted is not None and not must_call:
        raise CapabilityError(
            f"{config.target} has no tools, and emulated ones leave no room for `output`",
            provider=config.name,
            model=config.model,
            hint="Ask without tools or without output, or say in `capabilities` that it keeps to a json_schema.",
        )
    return None


def _ids(messages: tuple[Message, ...]) -> set[str]:
    return {part.id for message in messages for part in message.parts if isinstance(part, ToolCall)}


def _count(message: Message) -> int:
    return sum(isinstance(part, ToolCall) for part in message.parts)
