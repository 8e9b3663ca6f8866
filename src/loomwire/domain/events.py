"""Events: what a stream delivers, and what observers are told about calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from loomwire.domain.pricing import Charge, Usage
from loomwire.domain.responses import Finish
from loomwire.domain.values import ToolCall


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More visible text."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More thinking; never part of the visible text."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    """The model begins to call a tool. `index` counts the calls of this answer from 0."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of the call's arguments, as JSON text."""

    index: int
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCallEnd:
    """The call is complete; `call.arguments` is None when the token limit cut it."""

    index: int
    call: ToolCall


@dataclass(frozen=True, slots=True)
class UsageUpdate:
    """The usage so far, as a whole: later updates replace earlier ones."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class StreamRestarted:
    """What came before is void; the answer begins again. Only where the request says `resume="restart"`.

    Attributes:
        reason: A reason of `FAULTS`: what broke the stream.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a whole answer. A stream that ends otherwise raises `StreamInterruptedError`."""

    finish: Finish | None


StreamEvent: TypeAlias = (
    TextDelta | ReasoningDelta | ToolCallStart | ToolCallDelta | ToolCallEnd | UsageUpdate | StreamRestarted | Finished
)
"""Everything a stream can deliver."""


CallOutcome: TypeAlias = Literal["answered", "failed", "cancelled", "abandoned"]
"""How a call or an attempt ended."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What observers learn of a call or of one attempt: numbers and names, never a prompt, an answer or a key.

    Attributes:
        level: The whole call, or one attempt on one target.
        client: The client's name.
        provider: Who answered or failed; "" when nobody was asked.
        model: The model that answered or failed.
        outcome: abandoned is a stream its consumer left, cancelled is the caller's own cancellation.
        latency_s: Seconds from start to end.
        code: The error's code, or "".
        usage: What was used, when it is known.
        cost: What it cost, when it is known.
        streamed: Whether it was a stream.
        tenant: On whose behalf.
        session: Which conversation.
        tags: The request's tags.
        operation: What was done.
        degraded: The call failed with `code`, and something stood in for its answer.
    """

    level: Literal["call", "attempt"]
    client: str
    provider: str
    model: str
    outcome: CallOutcome
    latency_s: float
    code: str = ""
    usage: Usage | None = None
    cost: Charge | None = None
    streamed: bool = False
    tenant: str | None = None
    session: str | None = None
    tags: frozenset[str] = frozenset()
    operation: Literal["chat", "embeddings", "rerank", "count_tokens"] = "chat"
    degraded: bool = False
