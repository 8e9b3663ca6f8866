"""What a caller asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, Self, TypeAlias

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.messages import Image, Message
from loomwire.domain.tools import WIRE_NAME, Tool, ToolChoice, ToolNamed, schema_problem
from loomwire.domain.values import JSON, NO_JSON, JSONObject

Priority: TypeAlias = Literal["balanced", "cost", "speed", "quality"]
CacheMode: TypeAlias = Literal["off", "use", "refresh"]
ReasoningEffort: TypeAlias = Literal["none", "minimal", "low", "medium", "high"]
Resume: TypeAlias = Literal["never", "restart"]
BoundReason: TypeAlias = Literal["deadline", "attempt"]

PRIORITIES: tuple[Priority, ...] = ("balanced", "cost", "speed", "quality")

_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
    "max_tokens": (1, math.inf),
}


@dataclass(frozen=True, slots=True)
class Parameters:
    """How the model should answer. None leaves a value to the configuration, then to the provider.

    Args:
        temperature: 0 to 2.
        top_p: 0 to 1.
        max_tokens: Upper bound of output tokens (reasoning included), at least 1.
        stop: Texts that end the answer; at most 16, none empty.
        seed: For repeatable answers, where the provider knows it.
        presence_penalty: -2 to 2.
        frequency_penalty: -2 to 2.
        reasoning_effort: How much the model should think.

    Raises:
        LLMValidationError: A value is out of its range; the message names the parameter and the range.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    reasoning_effort: ReasoningEffort | None = None

    def __post_init__(self) -> None:
        """Refuse values that no provider accepts, before money is spent."""
        for name, (low, high) in _RANGES.items():
            value: float | None = getattr(self, name)
            if value is not None and not low <= value <= high:
                limits = f"at least {low}" if high == math.inf else f"{low:g} to {high:g}"
                raise LLMValidationError(f"parameters.{name} must be {limits}, not {value}", hint=f"Correct {name}.")
        if not _are_stops(self.stop):
            raise LLMValidationError(
                f"parameters.stop must be a tuple of at most {_MAX_STOP} non-empty texts", hint="Correct stop."
            )

    def over(self, defaults: Parameters) -> Parameters:
        """Return these parameters with the gaps filled from `defaults`."""
        if self == NO_PARAMETERS:
            return defaults
        if defaults == NO_PARAMETERS:
            return self
        gaps = {name: getattr(defaults, name) for name in _NAMES if getattr(self, name) in _GAPS}
        return replace(self, **gaps) if any(value not in _GAPS for value in gaps.values()) else self


_MAX_STOP = 16
_GAPS = (None, ())
_NAMES = tuple(field.name for field in fields(Parameters))


def _are_stops(stop: object) -> bool:
    # Untyped callers write one text, which would be taken for its characters.
    return isinstance(stop, tuple) and len(stop) <= _MAX_STOP and all(isinstance(text, str) and text for text in stop)


NO_PARAMETERS = Parameters()


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """The answer must be JSON of this shape.

    Args:
        schema: A JSON Schema, or None for any JSON object.
        name: What the provider calls it; 1 to 64 letters, digits, `_` and `-`.
        strict: Ask the provider to keep to the schema exactly, where it can. Where its strict mode takes only closed
            objects without optional properties, it gets the schema narrowed to that: what it answers still fits.
        description: For the model.

    Raises:
        LLMValidationError: A name that providers refuse, or `schema` is no JSON Schema; the message says where.
    """

    schema: JSONObject | None = None
    name: str = "output"
    strict: bool = True
    description: str = ""

    def __post_init__(self) -> None:
        """Refuse a name or schema that a provider would refuse, before money is spent."""
        if not WIRE_NAME.fullmatch(self.name):
            raise LLMValidationError(f"output.name {self.name!r} must be 1 to 64 letters, digits, '_' or '-'")
        problem = None if self.schema is None else schema_problem(self.schema)
        if problem:
            raise LLMValidationError(
                f"output.schema is no JSON Schema: {problem}", hint="Correct the schema at the place named."
            )


@dataclass(frozen=True, slots=True)
class Bound:
    """An instant after which nobody may go on with a call, and how far the call came before it reached here.

    Attributes:
        at: Monotonic seconds, of the clock the container uses.
        reason: Whose bound it is.
        sent: How often the call was sent before: to earlier targets, or for answers that were asked for again.
        further: Whether another target can still be asked when this one fails.
        enter_by: The instant by which this target's whole answer, or the first event of its stream, has to be there, so
            that time is left for another one; infinity when nobody else is left.
        patience_s: The longest wait that this target may ask for before it is asked again; after a longer one another
            target is better, which could be asked now.
        share_s: How long this target had from the beginning until `enter_by`; infinity without that.
    """

    at: float
    reason: BoundReason = "deadline"
    sent: int = 0
    further: bool = False
    enter_by: float = math.inf
    patience_s: float = math.inf
    share_s: float = math.inf

    @property
    def first_at(self) -> float:
        """The instant by which a target's answer has to be there, or its stream to begin."""
        return min(self.at, self.enter_by)


@dataclass(frozen=True, slots=True)
class LLMRequest:
    """One question to a model. Immutable: layers pass on copies made with `dataclasses.replace`.

    Args:
        messages: The conversation, oldest first; at least one.
        tools: What the model may call; names are unique.
        tool_choice: Whether it may, must not or must call, or which tool.
        output: The shape of the answer, or None for free text.
        parameters: How to answer.
        deadline_s: Seconds for the whole call, retries and fallbacks included; None takes `timeouts.total`.
        priority: What to prefer when several models could answer.
        tenant: On whose behalf; separates caches and budgets.
        session: Which conversation, for the books.
        tags: Free words for rules and the books.
        cache: Overrides the client's cache mode for this call.
        extra: Vendor fields, put into the wire body as they are.
        resume: What becomes of a stream that breaks after something was delivered. never: it raises
            `StreamInterruptedError` with the partial answer; restart: it begins anew where that may help, after a
            `StreamRestarted` event that voids everything before it.
        bound: Set by the layers: the instant at which the call or the attempt ends. Leave it None.

    Raises:
        LLMValidationError: No message, a tool name twice, an unknown forced tool, a deadline that is not positive, or
            another word for `resume` or `priority`.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    output: OutputSpec | None = None
    parameters: Parameters = NO_PARAMETERS
    deadline_s: float | None = None
    priority: Priority = "balanced"
    tenant: str | None = None
    session: str | None = None
    tags: frozenset[str] = frozenset()
    cache: CacheMode | None = None
    extra: Mapping[str, JSON] = NO_JSON
    resume: Resume = "never"
    bound: Bound | None = None

    def __post_init__(self) -> None:
        """Refuse what no provider accepts, before money is spent."""
        if not self.messages:
            raise LLMValidationError("messages must not be empty", hint="Give at least one message.")
        if self.deadline_s is not None and not 0 < self.deadline_s < math.inf:
            raise LLMValidationError("deadline_s must be a positive number of seconds", hint="Correct deadline_s.")
        # Untyped callers may misspell them, and would learn so when a stream breaks, or never.
        if self.resume not in _RESUMES:
            raise LLMValidationError(f"resume must be one of {_RESUMES}, not {self.resume!r}", hint="Correct resume.")
        if self.priority not in PRIORITIES:
            wrong = f"priority must be one of {PRIORITIES}, not {self.priority!r}"
            raise LLMValidationError(wrong, hint="Correct priority.")
        if self.tools:
            self._check_tools()
        elif self.tool_choice not in ("auto", "none"):
            raise LLMValidationError("tool_choice asks for a tool, but there are no tools", hint="Give tools.")

    def _check_tools(self) -> None:
        names = [tool.name for tool in self.tools]
        if len(set(names)) < len(names):
            double = next(name for name in names if names.count(name) > 1)
            raise LLMValidationError(f"tool name {double!r} is used twice", hint="Give every tool its own name.")
        if isinstance(self.tool_choice, ToolNamed) and self.tool_choice.name not in names:
            raise LLMValidationError(
                f"tool_choice names {self.tool_choice.name!r}, which is not among the tools",
                hint=f"Use one of: {', '.join(names)}.",
            )

    @classmethod
    def of(
        cls,
        *content: str | Image | Message,
        system: str | None = None,
        tools: Sequence[Tool] = (),
        parameters: Parameters = NO_PARAMETERS,
        output: OutputSpec | None = None,
        deadline_s: float | None = None,
        resume: Resume = "never",
    ) -> Self:
        """Build a request from texts, pictures and messages; neighbouring texts and pictures become one user message.

        Example:
            >>> LLMRequest.of("Plan a trip", system="You are brief.").messages[0].role
            'system'
        """
        messages: list[Message] = [] if system is None else [Message.system(system)]
        loose: list[str | Image] = []
        for item in content:
            if isinstance(item, Message):
                messages += [Message.user(*loose)] if loose else []
                loose = []
                messages.append(item)
            else:
                loose.append(item)
        messages += [Message.user(*loose)] if loose else []
        return cls(
            tuple(messages),
            tools=tuple(tools),
            parameters=parameters,
            output=output,
            deadline_s=deadline_s,
            resume=resume,
        )

    def extended(self, *messages: Message) -> Self:
        """Return the request with further messages at the end."""
        return replace(self, messages=(*self.messages, *messages))

    def bound_for(self, now: float, total_s: float) -> Bound:
        """Return the bound that is there, or the deadline counted from `now` (monotonic seconds)."""
        return self.bound or Bound(now + (total_s if self.deadline_s is None else self.deadline_s))

    def with_bound(self, bound: Bound) -> Self:
        """Return the request with another bound; everything else was checked when the request was made."""
        bounded = self._copied()
        _PUT["bound"](bounded, bound)
        return bounded

    def with_parameters(self, parameters: Parameters) -> Self:
        """Return the request with other parameters."""
        changed = self._copied()
        _PUT["parameters"](changed, parameters)
        return changed

    def bounded(self, now: float, total_s: float) -> Self:
        """Return the request with its deadline fixed to an instant, once: a bound that is there stays."""
        return self if self.bound is not None else self.with_bound(self.bound_for(now, total_s))

    def _copied(self) -> Self:
        # dataclasses.replace() would check it all again, on every call; the slots' own methods take half as long as
        # getattr and object.__setattr__.
        copy = object.__new__(type(self))
        for take, put in _SLOTS:
            put(copy, take(self))
        return copy

    @property
    def has_images(self) -> bool:
        """Whether any message holds a picture."""
        return any(isinstance(part, Image) for message in self.messages for part in message.parts)


def refuse_no_request(given: object, call: str) -> None:
    """Refuse what somebody passed for a request; code without type checks passes the text itself.

    Args:
        given: What was passed.
        call: The name of the method.

    Raises:
        LLMValidationError: It is no `LLMRequest`.
    """
    if not isinstance(given, LLMRequest):
        raise LLMValidationError(
            f"{call}() takes an LLMRequest, not {type(given).__name__}",
            hint=f'Write `client.{call}(LLMRequest.of("..."))`.',
        )


_RESUMES = ("never", "restart")
_PUT: Mapping[str, Callable[[object, object], None]] = {
    field.name: LLMRequest.__dict__[field.name].__set__ for field in fields(LLMRequest)
}
_SLOTS: Sequence[tuple[Callable[[object], object], Callable[[object, object], None]]] = tuple(
    (LLMRequest.__dict__[name].__get__, put) for name, put in _PUT.items()
)
