"""TypedLLMClient: answers that are validated objects of a type."""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.errors import LLMError, LLMValidationError, OutputInvalidError
from loomwire.domain.faults import Step
from loomwire.domain.messages import Message, Text, ToolResult
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.output import IOutputSchema
from loomwire.domain.pricing import FREE, Charge, Cost, Usage
from loomwire.domain.requests import LLMRequest, OutputSpec
from loomwire.domain.responses import LLMResponse
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import JSON, JSONObject

T = TypeVar("T")

TypedMode: TypeAlias = Literal["auto", "native", "tool", "prompted"]
"""How the model is held to the schema; see `TypedLLMClient`."""

MIN_ATTEMPT_S = 0.25


@dataclass(frozen=True, slots=True)
class TypedTarget:
    """What one typed call works with, from its first question to its last.

    Attributes:
        client: The chain to ask. It keeps to `request.bound`.
        total_s: Seconds for a call whose request has no deadline.
        capabilities: What the model behind it can do.
    """

    client: ILLMClient
    total_s: float
    capabilities: ModelCapabilities


class TypedSource(Protocol):
    """Hands out what a typed call works with."""

    @abstractmethod
    def lease(self) -> AbstractContextManager[TypedTarget]:
        """Return a hold on one configuration, so that a re-ask meets the model that gave the first answer.

        Raises:
            ClientRemovedError: The client is no longer configured, or its container is closed.
        """


@dataclass(frozen=True)  # generic: CPython 3.11 cannot slot a frozen generic class
class TypedLLMClient(Generic[T]):
    """Asks a model for an object of one type. Safe to share by tasks, threads and event loops.

    How the model is held to the schema:

    - `native`: the provider enforces it (`LLMRequest.output`), strictly when the schema fits the strict subset.
    - `tool`: the model must call one tool whose parameters are the schema.
    - `prompted`: the schema stands in the prompt, and the provider is asked for JSON where it is known to do that.
    - `auto` takes `native` when the model is known to do it, and when nobody knows; the schema then stands in the
      prompt too, since some servers pass over what they do not know, and a server that refuses the request is asked
      once more in `prompted`. A model known not to do it gets `tool` if it is known to call tools and the request has
      none of its own, else `prompted`.

    The prompt's words go to the request's system message if it has one, else to its last user message: a system message
    made here would displace the client's own.

    An answer that does not fit is asked for again, `reasks` times at most and within the one deadline of the call, with
    what was wrong. Usage, cost and steps of all answers are summed. Not asked again are an answer cut by the token
    limit, a refusal, one stopped by a content filter, a stand-in (`degraded`), and a call of the request's own tools:
    nobody here may run them. A host that wants tools and then an object runs the tools with `ILLMClient` first.

    Args:
        source: Where each call leases its client.
        schema: The type, as schema and decoder.
        clock: The time, for the deadline.
        reasks: How often an answer that does not fit is asked for again.
        mode: How the model is held to the schema.
        min_attempt_s: Nothing is asked again with fewer seconds left.
    """

    source: TypedSource
    schema: IOutputSchema[T]
    clock: IClock
    reasks: int = 1
    mode: TypedMode = "auto"
    min_attempt_s: float = MIN_ATTEMPT_S
    _forms: _Forms = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the schema's forms once; a schema that no provider takes is refused here, before money is spent."""
        object.__setattr__(self, "_forms", _Forms.of(self.schema.name, self.schema.schema))

    async def generate(self, request: LLMRequest) -> LLMResponse[T]:
        """Return the answer with `output` as an object of the type.

        Cancellation ends the call at once; nothing is asked again after it.

        Args:
            request: What to ask, without `output`. It is never changed.

        Raises:
            LLMValidationError: The request sets `output`, forces a tool call, or has tools in mode `tool`.
            OutputInvalidError: The answer does not fit, re-asks included; `problems` say where, and
                `metadata["spent"]` says what the answers used and cost.
            LLMError: Anything that kept an answer from coming; if an earlier answer was paid for,
                `metadata["spent"]` is there too.
        """
        _check(request, self.mode)
        with self.source.lease() as target:
            bounded = request.bounded(self.clock.now(), target.total_s)
            return await self._converse(target, bounded)

    async def _converse(self, target: TypedTarget, request: LLMRequest) -> LLMResponse[T]:
        asked = self._forms.asked(request, self.mode, target.capabilities)
        tally = _Tally()
        reasks = self.reasks
        while True:
            started = self.clock.now()
            try:
                response = await target.client.generate(asked.request)
            except LLMError as error:
                if not asked.refused_by(error):
                    tally.charge(error)
                    raise
                tally.note(*error.steps, self._step("demoted", error.reason, started))
                asked = self._forms.prompted(request, target.capabilities)
                continue
            tally.add(response)
            read = self._read(asked, response)
            if not isinstance(read, _Misfit):
                return tally.total(read)
            if reasks <= 0 or not read.again or self._left_s(request) < self.min_attempt_s:
                raise self._failure(read, response, tally)
            reasks -= 1
            tally.note(self._step("reasked", "output_invalid", started, f"{response.provider}/{response.model}"))
            asked = asked.corrected(response, read.problems)

    def _read(self, asked: _Asked, response: LLMResponse[str]) -> LLMResponse[T] | _Misfit:
        ended = _dead_end(asked, response)
        if ended is not None:
            return ended
        if len(response.tool_calls) > 1:
            return _Misfit((f"$: the tool was called {len(response.tool_calls)} times instead of once",))
        try:
            return response.with_output(self.schema.decode(_answer(response)))
        except OutputInvalidError as error:
            problems = error.problems or ("$: the answer does not fit",)
            return _Misfit(problems, again=not response.degraded, cause=error.original_error)

    def _failure(self, misfit: _Misfit, response: LLMResponse[str], tally: _Tally) -> OutputInvalidError:
        first, *others = misfit.problems
        more = f" (and {len(others)} more)" if others else ""
        error = OutputInvalidError(
            f"the answer does not fit {self.schema.name}: {first}{more}",
            problems=misfit.problems,
            text=response.text or response.refusal or "",
            provider=response.provider,
            model=response.model,
            request_id=response.request_id,
            hint=misfit.hint,
        )
        error.original_error = misfit.cause
        tally.charge(error)
        return error

    def _left_s(self, request: LLMRequest) -> float:
        return math.inf if request.bound is None else request.bound.at - self.clock.now()

    def _step(self, outcome: str, reason: str, started: float, target: str = "") -> Step:
        return Step("typed", target, outcome, reason, latency_s=self.clock.now() - started)


@dataclass(frozen=True, slots=True)
class _Misfit:
    """An answer that is no object of the type."""

    problems: tuple[str, ...]
    again: bool = True
    hint: str | None = None
    cause: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request in one of the three modes, and what follows from it."""

    mode: Literal["native", "tool", "prompted"]
    request: LLMRequest
    guessed: bool = False

    def refused_by(self, error: LLMError) -> bool:
        """Tell whether a server that nobody knows may have refused the schema rather than the question."""
        return self.guessed and error.status is not None and error.reason in _SCHEMA_REFUSED

    def corrected(self, response: LLMResponse[str], problems: Sequence[str]) -> _Asked:
        """Return the conversation with the answer and what was wrong with it."""
        listed = "\n".join(f"- {problem}" for problem in problems)
        wrong = f"This does not fit the JSON Schema:\n{listed}\nGive the whole corrected object and nothing else."
        # Text or a call must be there, or vendors refuse the conversation; arguments that are no JSON as well.
        calls = tuple(replace(call, arguments=call.arguments or {}, raw_arguments="") for call in response.tool_calls)
        text = response.text or ("" if calls else "(no answer)")
        answer = Message.assistant(text, tool_calls=calls, reasoning=response.reasoning)
        if calls:
            # Said in the results only: some vendors refuse a user message right after them.
            results = [ToolResult(call.id, wrong, name=call.name, is_error=True) for call in calls]
            reply = Message.tool(*results)
        else:
            reply = Message.user(wrong)
        return _Asked(self.mode, self.request.extended(answer, reply))


@dataclass(frozen=True, slots=True)
class _Forms:
    """One schema as a provider's output format, as a tool and as words."""

    spec: OutputSpec
    tool: Tool
    words: str

    @classmethod
    def of(cls, name: str, schema: JSONObject) -> _Forms:
        strict = _is_strict(schema)
        text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"), default=dict)
        return cls(
            OutputSpec(schema, name, strict),
            Tool(name, "Give the answer by calling this tool, once.", schema, strict),
            f"Answer with one JSON object and nothing else. It must fit this JSON Schema:\n{text}",
        )

    def asked(self, request: LLMRequest, mode: TypedMode, can: ModelCapabilities) -> _Asked:
        """Return the request in the mode that suits the model."""
        guessed = mode == "auto" and can.supports_json_schema is None
        if guessed:
            return _Asked("native", replace(self._worded(request, can), output=self.spec), guessed)
        if mode == "native" or (mode == "auto" and can.supports_json_schema):
            return _Asked("native", replace(request, output=self.spec))
        if mode == "tool" or (mode == "auto" and can.supports_tools and not request.tools):
            return _Asked("tool", replace(request, tools=(self.tool,), tool_choice=ToolNamed(self.tool.name)))
        return self.prompted(request, can)

    def prompted(self, request: LLMRequest, can: ModelCapabilities) -> _Asked:
        """Return the request with the schema in its prompt."""
        spec = OutputSpec(None, self.spec.name) if can.supports_json_mode else None
        return _Asked("prompted", replace(self._worded(request, can), output=spec))

    def _worded(self, request: LLMRequest, can: ModelCapabilities) -> LLMRequest:
        messages = request.messages
        systems = [at for at, message in enumerate(messages) if message.role == "system"]
        at = systems[-1] if systems and can.supports_system_message is not False else len(messages) - 1
        if messages[at].role not in ("system", "user"):
            return request.extended(Message.user(self.words))
        *parts, last = messages[at].parts
        # One text where there was one: not every server takes a list of texts.
        said = [Text(f"{last.text}\n\n{self.words}")] if isinstance(last, Text) else [last, Text(self.words)]
        worded = replace(messages[at], parts=(*parts, *said))
        return replace(request, messages=(*messages[:at], worded, *messages[at + 1 :]))


class _Tally:
    """What one call spent so far. Lives as long as the call."""

    __slots__ = ("_answers", "_cost", "_steps", "_usage")

    def __init__(self) -> None:
        self._answers = 0
        self._usage = Usage()
        self._cost: Charge = FREE
        self._steps: tuple[Step, ...] = ()

    def add(self, response: LLMResponse[str]) -> None:
        """Count an answer."""
        self._answers += 1
        self._usage += response.usage
        self._cost += response.cost
        self._steps += response.steps

    def note(self, *steps: Step) -> None:
        """Keep steps that no answer carries."""
        self._steps += steps

    def total(self, response: LLMResponse[T]) -> LLMResponse[T]:
        """Return the last answer with what all of them spent."""
        if self._answers == 1:
            # A sum would drop the provider's own total.
            return replace(response, steps=self._steps)
        return replace(response, usage=self._usage, cost=self._cost, steps=self._steps)

    def charge(self, error: LLMError) -> None:
        """Tell an error what was spent before it, and the way there."""
        error.steps = (*self._steps, *error.steps)
        if self._answers:
            cost = str(self._cost.usd) if isinstance(self._cost, Cost) else None
            spent: JSONObject = {"answers": self._answers, "usage": self._usage.to_dict(), "cost_usd": cost}
            error.metadata = {**error.metadata, "spent": spent}


_SCHEMA_REFUSED = frozenset({"invalid_request", "unsupported"})
_ENDINGS: Mapping[str, _Misfit] = {
    name: _Misfit((f"$: {problem}",), again=False, hint=hint)
    for name, problem, hint in (
        ("refusal", "the model refused to answer", "Change the prompt, or use another model."),
        # Even if it can be read: a number or a list may have lost its end.
        ("length", "the answer was cut by max_tokens", "Raise parameters.max_tokens, or ask for less."),
        ("content_filter", "the provider's content filter stopped the answer", "Change the prompt."),
    )
}
# The part of JSON Schema that strict modes take; other keywords make vendors refuse the request.
_STRICT_KEYWORDS = frozenset(
    {"$defs", "$ref", "additionalProperties", "anyOf", "const", "description", "enum", "format", "items", "pattern"}
    | {"exclusiveMaximum", "exclusiveMinimum", "maxItems", "maximum", "minItems", "minimum", "multipleOf"}
    | {"properties", "required", "title", "type"}
)
_STRICT_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"})


def _check(request: LLMRequest, mode: TypedMode) -> None:
    if request.output is not None:
        raise LLMValidationError(
            "a typed client sets `output` itself", hint="Leave output out, or use ILLMClient with your own schema."
        )
    if request.tool_choice not in ("auto", "none"):
        raise LLMValidationError(
            "tool_choice forces a tool call, so there would be no object", hint="Use tool_choice 'auto' or 'none'."
        )
    if mode == "tool" and request.tools:
        raise LLMValidationError(
            "mode 'tool' is taken by the schema, but the request has tools of its own", hint="Use mode 'prompted'."
        )


def _dead_end(asked: _Asked, response: LLMResponse[str]) -> _Misfit | None:
    """Return why asking again would not help, or None."""
    ending = _ENDINGS.get("refusal" if response.refusal is not None else response.finish or "")
    if ending is None and response.tool_calls and asked.mode != "tool":
        called = {call.name for call in response.tool_calls} & {tool.name for tool in asked.request.tools}
        problem = f"$: the model called tools instead of answering: {', '.join(sorted(called)) or 'unknown ones'}"
        hint = "Run the tools with ILLMClient and send their results; then ask for the object."
        return _Misfit((problem,), again=False, hint=hint)
    return ending


def _answer(response: LLMResponse[str]) -> str:
    # In tool mode a model may still write its answer; the tool's name does not matter, since only one was offered.
    for call in response.tool_calls:
        return call.raw_arguments if call.arguments is None else json.dumps(call.arguments, default=dict)
    return response.text


def _is_strict(schema: JSON) -> bool:
    """Tell whether strict modes take the schema: every object closed with all its properties required, no keyword else.

    Asked for strictly, any other schema would be refused by vendors before the model sees it.
    """
    if not isinstance(schema, Mapping) or not schema.keys() <= _STRICT_KEYWORDS:
        return False
    if not schema.keys() & {"type", "$ref", "anyOf", "enum", "const"} or not _is_closed(schema):
        return False
    return schema.get("format", "date") in _STRICT_FORMATS and all(map(_is_strict, _subschemas(schema)))


def _is_closed(schema: JSONObject) -> bool:
    if schema.get("type") != "object":
        return True
    properties, required = schema.get("properties"), schema.get("required", ())
    return (
        schema.get("additionalProperties") is False
        and isinstance(properties, Mapping)
        and isinstance(required, Sequence)
        and set(properties) == set(required)
    )


def _subschemas(schema: JSONObject) -> list[JSON]:
    found: list[JSON] = []
    for keyword in ("properties", "$defs"):
        named = schema.get(keyword)
        found += named.values() if isinstance(named, Mapping) else ()
    options = schema.get("anyOf")
    found += options if isinstance(options, Sequence) else ()
    return [*found, schema["items"]] if "items" in schema else found
