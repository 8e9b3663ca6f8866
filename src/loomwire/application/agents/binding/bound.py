"""BoundTool: a tool that a model may call, and the function that answers."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, Self

from loomwire.application.agents.binding.schema_check import SchemaCheck
from loomwire.application.agents.binding.signatures import arguments_type
from loomwire.application.resilience.circuit_breaker import CircuitBreaker
from loomwire.domain.errors import LLMValidationError, OutputInvalidError
from loomwire.domain.policies import MIB, BreakerPolicy, RetryPolicy
from loomwire.domain.ports.output import IOutputSchema, IOutputSchemas
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSONObject

P = ParamSpec("P")

_LEASE_SLACK_S = 5.0


@dataclass(frozen=True, slots=True)
class ToolPolicy:
    """How one tool is called.

    Attributes:
        timeout_s: Seconds for one call. A sync function cannot be stopped: it goes on, and its result is dropped.
        retries: When the function is called again after connections and timeouts that failed, and errors of loomwire
            that say so. Only for what may be done twice; None calls it once.
        breaker: When it is left alone for a while.
        result_bytes: How large a result may be, in bytes of JSON. The model is told of a larger one that it is too
            large: sent, it would fill the context window or be refused, and end the run.

    Raises:
        LLMValidationError: The timeout is no positive number of seconds, or no result would be small enough.
    """

    timeout_s: float = 60.0
    retries: RetryPolicy | None = None
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    result_bytes: int = MIB

    def __post_init__(self) -> None:
        """Refuse a time in which nothing could be done, or that never ends, and a size that nothing has."""
        if not 0 < self.timeout_s < math.inf:
            raise LLMValidationError("a tool's timeout_s must be a positive number of seconds", hint="Correct it.")
        if self.result_bytes < 1:
            raise LLMValidationError("a tool's result_bytes must be at least 1", hint="Correct it.")


_USUAL = ToolPolicy()


@dataclass(frozen=True, slots=True, eq=False)
class BoundTool:
    """A tool and the function behind it. Bind once and share it: its circuit breaker counts all its calls.

    A function that raises `ToolExecutionError` speaks to the model: it is told the message, and the circuit does not
    count it. Of any other exception the model learns the type only, since the words may hold secrets.

    Attributes:
        tool: What the model is told.
        function: What is called, with the arguments by name. A sync one runs on a thread.
        is_async: Whether it returns its coroutine at once.
        read: Turns the model's arguments into those of the function.
        policy: How it is called.
        breaker: Leaves it alone when it fails too often.
    """

    tool: Tool
    function: partial[object] = field(repr=False)
    is_async: bool
    read: Callable[[JSONObject], Mapping[str, object]] = field(repr=False)
    policy: ToolPolicy
    breaker: CircuitBreaker

    @classmethod
    def of(
        cls,
        function: Callable[P, object],
        schemas: IOutputSchemas,
        *,
        name: str = "",
        description: str = "",
        policy: ToolPolicy = _USUAL,
        breaker: CircuitBreaker | None = None,
    ) -> Self:
        """Bind a function with types: its parameters are the tool's, and the arguments arrive as these types.

        Bind at start, or on a thread: the first schema of a process makes pydantic read files.

        Args:
            function: Sync or async. What a `functools.partial` gives by name no model is told of.
            schemas: Makes the JSON Schema; `container.resolve(IOutputSchemas)`.
            name: The tool's name; the function's unless given.
            description: For the model; the docstring unless given.
            policy: How it is called.
            breaker: A circuit breaker to share with other code; one of its own unless given.

        Raises:
            LLMValidationError: It is no function; a parameter has no type, cannot be given by name, or its type has no
                JSON Schema; or the name is none that providers accept.
        """
        inner = _inner(function)
        if not callable(inner):
            what = f"a tool is a function with types, or a bound one, not {type(inner).__name__}"
            raise LLMValidationError(what, hint="Give every tool as an argument of its own.")
        called = name or str(getattr(inner, "__name__", type(inner).__name__))
        schema: IOutputSchema[object] = schemas.schema_for(arguments_type(function, called))
        tool = Tool(called, description or inspect.getdoc(inner) or "", schema.schema)
        return cls._made(tool, function, partial(_typed, schema), policy, breaker)

    @classmethod
    def given(
        cls,
        tool: Tool,
        function: Callable[P, object],
        *,
        policy: ToolPolicy = _USUAL,
        breaker: CircuitBreaker | None = None,
    ) -> Self:
        """Bind a function to a tool whose schema is there; the arguments are checked (`SchemaCheck`) and go as JSON.

        Args:
            tool: What the model is told.
            function: Called with the arguments by name, sync or async.
            policy: How it is called.
            breaker: A circuit breaker to share with other code; one of its own unless given.
        """
        return cls._made(tool, function, partial(_checked, SchemaCheck(tool.parameters)), policy, breaker)

    @classmethod
    def _made(
        cls,
        tool: Tool,
        function: Callable[P, object],
        read: Callable[[JSONObject], Mapping[str, object]],
        policy: ToolPolicy,
        breaker: CircuitBreaker | None,
    ) -> Self:
        own = breaker or CircuitBreaker(f"tool {tool.name}", policy.breaker, lease_s=policy.timeout_s + _LEASE_SLACK_S)
        return cls(tool, partial(function), _is_async(function), read, policy, own)

    @property
    def name(self) -> str:
        """The tool's name."""
        return self.tool.name


def _inner(function: object) -> object:
    return function.func if isinstance(function, partial) else function


def _is_async(function: Callable[P, object]) -> bool:
    # An object with an async __call__ is no coroutine function by itself.
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _typed(schema: IOutputSchema[object], arguments: JSONObject) -> Mapping[str, object]:
    known = schema.schema.get("properties")
    if isinstance(known, Mapping) and (extra := arguments.keys() - known.keys()):
        # The names are the model's words, so the message says those that exist.
        problem = f"$: {len(extra)} unknown; the arguments are: {', '.join(known) or 'none'}"
        raise OutputInvalidError("the arguments do not fit", problems=[problem])
    read = schema.decode(json.dumps(arguments, default=dict))
    # The dataclass of `arguments_type`, whose fields are the parameters; not deeper, so that models stay models.
    return dict(vars(read))


def _checked(check: SchemaCheck, arguments: JSONObject) -> JSONObject:
    problems = check.problems(arguments)
    if problems:
        raise OutputInvalidError("the arguments do not fit", problems=problems)
    return arguments
