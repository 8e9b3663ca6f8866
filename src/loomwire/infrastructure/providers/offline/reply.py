"""What an offline model says: the description that scripts, rules and tests share, and its sizes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, LLMValidationError, llm_error
from loomwire.domain.faults import FAULTS
from loomwire.domain.messages import Part, Reasoning, Text, ToolResult
from loomwire.domain.pricing import Usage
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import Finish
from loomwire.domain.values import JSON, ToolCall

# A word with the blank behind it; long runs are cut, so that JSON without blanks streams too. Loses no character.
_PIECE = re.compile(r"\S{1,24}\s?|\s+")


@dataclass(frozen=True, slots=True)
class Failure:
    """An error to be raised in place of an answer.

    Args:
        reason: A reason of the fault table; it decides the error's class, code and disposition.
        message: What the error says; "" takes a sentence about the script.
        status: The HTTP status it claims, or None.
        retry_after: Seconds it asks to wait, or None.

    Raises:
        LLMValidationError: The reason is not in the table.
    """

    reason: str
    message: str = ""
    status: int | None = None
    retry_after: float | None = None

    def __post_init__(self) -> None:
        """Refuse a reason that no error could carry."""
        if self.reason not in FAULTS:
            raise LLMValidationError(f"{self.reason!r} is no reason of the fault table")

    def error(self, config: LLMConfig) -> LLMError:
        """Return a fresh error of a target; not raised."""
        return llm_error(
            self.reason,
            self.message or f"scripted failure: {self.reason}",
            provider=config.name,
            model=config.model,
            status=self.status,
            retry_after=self.retry_after,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What an offline model says, and how it behaves meanwhile. Immutable; one may be played often and by many.

    Args:
        text: The visible text.
        tool_calls: What it wants to call; an empty id is made up, unique in the conversation.
        reasoning: Its thinking.
        finish: Why it ended; None says `tool_calls` if there are any, else `stop`.
        usage: The tokens; None estimates them (UTF-8 bytes / 4, images left out) and says so; `NO_USAGE` tells nothing.
        delay_s: Seconds before the first token.
        cut_after: Break the connection after so many characters of thinking, text and arguments, or before the end
            if there are fewer. None never does.
        failure: Raised after the delay, in place of an answer.
        signature: Opaque proof of the thinking, which must come back unchanged; "" for none. The fake provider sends it
            in dialects that have one; an offline model hands it out with its thinking.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    finish: Finish | None = None
    usage: Usage | None = None
    delay_s: float = 0.0
    cut_after: int | None = None
    failure: Failure | None = None
    signature: str = ""


def json_text(value: JSON) -> str:
    """Return compact JSON text, as a model would send it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict)


def pieces(text: str) -> Iterator[str]:
    """Cut a text into pieces of about a word, as models stream it; joined they are the text again."""
    return (match.group() for match in _PIECE.finditer(text))


def arguments_text(call: ToolCall) -> str:
    """Return a call's arguments as they would come over the wire."""
    return call.raw_arguments if call.arguments is None else json_text(call.arguments)


def named_calls(reply: Reply, request: LLMRequest) -> Iterator[tuple[str, ToolCall]]:
    """Yield the reply's tool calls with their ids; made-up ones go on counting where the conversation stands."""
    said = sum(isinstance(part, ToolCall) for message in request.messages for part in message.parts)
    return ((call.id or f"call_{said + number}", call) for number, call in enumerate(reply.tool_calls, 1))


def usage_of(reply: Reply, request: LLMRequest) -> Usage:
    """Return the reply's usage, estimated from sizes when it has none."""
    if reply.usage is not None:
        return reply.usage
    sent = [_size(part) for message in request.messages for part in message.parts]
    sent += [_bytes(tool.name + tool.description) + _bytes(json_text(tool.parameters)) for tool in request.tools]
    if request.output is not None:
        sent.append(_bytes(json_text(request.output.schema)))
    thought = _bytes(reply.reasoning)
    said = thought + _bytes(reply.text) + sum(_size(call) for call in reply.tool_calls)
    return Usage(
        input_tokens=_tokens(sum(sent)),
        output_tokens=_tokens(said),
        reasoning_tokens=_tokens(thought),
        estimated=True,
    )


def first_characters(reply: Reply, count: int) -> Reply:
    """Return a reply that says only so many characters of this one's thinking, text and arguments."""
    reasoning = reply.reasoning[:count]
    count -= len(reasoning)
    text = reply.text[:count]
    count -= len(text)
    calls = []
    for call in reply.tool_calls:
        raw = arguments_text(call)[:count]
        if raw:
            calls.append(replace(call, arguments=None, raw_arguments=raw))
        count -= len(raw)
    return Reply(text, tuple(calls), reasoning)


def _size(part: Part) -> int:
    if isinstance(part, Text | Reasoning):
        return _bytes(part.text)
    if isinstance(part, ToolCall):
        return _bytes(part.name + arguments_text(part))
    if isinstance(part, ToolResult):
        return _bytes(part.content if isinstance(part.content, str) else json_text(part.content))
    return 0


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _tokens(size: int) -> int:
    return -(-size // 4)
