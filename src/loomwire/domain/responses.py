"""What a model answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

from loomwire.domain.messages import Message, Reasoning
from loomwire.domain.pricing import NO_USAGE, Charge, Unpriced, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.values import JSON, ToolCall

T = TypeVar("T")
U = TypeVar("U")

Finish: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "error", "pause", "other"]
"""Why the answer ended. `other` keeps an unknown word of the wire; see `LLMResponse.finish_wire`."""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What the provider said is left of its rate limits, with the answer. None where it said nothing.

    Attributes:
        requests_limit: Requests in a period.
        requests_remaining: Requests left of them.
        requests_reset_s: Seconds until they are whole again.
        tokens_limit: Tokens in a period.
        tokens_remaining: Tokens left of them.
        tokens_reset_s: Seconds until they are whole again.
    """

    requests_limit: int | None = None
    requests_remaining: int | None = None
    requests_reset_s: float | None = None
    tokens_limit: int | None = None
    tokens_remaining: int | None = None
    tokens_reset_s: float | None = None


@dataclass(frozen=True)  # generic: CPython 3.11 cannot slot a frozen generic class
class LLMResponse(Generic[T]):
    """One answer. Immutable, so it may be shared by threads and loops.

    Attributes:
        output: The validated object of a typed client; the text for a plain one.
        text: The visible text, "" when there is none.
        tool_calls: What the model asks to call, in order.
        reasoning: The model's thinking, to be sent back unchanged.
        finish: Why it ended; None when the wire did not say.
        usage: Tokens, in the inclusive convention; `usage.known` is False when the provider said nothing.
        cost: What it cost, or `Unpriced`: never an invented 0.
        provider: The provider's name in the configuration.
        model: The model that answered, as the provider reports it, else as configured.
        request_id: The provider's id of the request, or None.
        response_id: The provider's id of the answer, or None.
        finish_wire: The provider's own word for `finish`, or None.
        refusal: The text of a refusal, or None.
        steps: Every layer's decision and every attempt, in order.
        complete: False when the wire gave no terminal sign and the configuration allows that.
        degraded: It is a stand-in, not a model's answer.
        cached: It came from a cache.
        emulated: Tools were emulated by a prompt.
        rate_limits: What the provider said is left of its rate limits, or None.
    """

    output: T
    text: str
    provider: str
    model: str
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: tuple[Reasoning, ...] = ()
    finish: Finish | None = None
    usage: Usage = NO_USAGE
    cost: Charge = Unpriced("no_price")
    request_id: str | None = None
    response_id: str | None = None
    finish_wire: str | None = None
    refusal: str | None = None
    steps: tuple[Step, ...] = ()
    complete: bool = True
    degraded: bool = False
    cached: bool = False
    emulated: bool = False
    rate_limits: RateLimits | None = None

    def with_step(self, step: Step) -> LLMResponse[T]:
        """Return the answer with a layer's step in front of the steps below it."""
        # dataclasses.replace() costs 5 us here; every call pays it once per noting layer.
        noted: LLMResponse[T] = object.__new__(type(self))
        noted.__dict__.update(self.__dict__, steps=(step, *self.steps))
        return noted

    def with_output(self, output: U) -> LLMResponse[U]:
        """Return the answer with another output, for typed clients."""
        typed: LLMResponse[U] = object.__new__(LLMResponse)
        typed.__dict__.update(self.__dict__, output=output)
        return typed

    @property
    def message(self) -> Message:
        """The answer as the assistant's message, ready to be sent back with its reasoning and tool calls."""
        return Message.assistant(self.text, tool_calls=self.tool_calls, reasoning=self.reasoning)

    def to_dict(self) -> dict[str, JSON]:
        """Return the answer as JSON, the text included.

        `output` is left out, because it may be any type, and the reasoning, because it is for the next turn only.
        """
        cost = None if isinstance(self.cost, Unpriced) else str(self.cost.usd)
        return {
            "schema": "loomwire/response/1",
            "text": self.text,
            "tool_calls": [call.to_dict() for call in self.tool_calls],
            "finish": self.finish,
            "finish_wire": self.finish_wire,
            "refusal": self.refusal,
            "complete": self.complete,
            "usage": self.usage.to_dict(),
            "cost_usd": cost,
            "provider": self.provider,
            "model": self.model,
            "request_id": self.request_id,
            "response_id": self.response_id,
            "steps": [step.to_dict() for step in self.steps],
            "degraded": self.degraded,
            "cached": self.cached,
            "emulated": self.emulated,
        }
