"""ToolPipeline: runs the tool calls of an answer."""

from __future__ import annotations

import asyncio
import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

from typing_extensions import override

from loomwire.application.agents.binding.bound import BoundTool
from loomwire.application.agents.calling import called, stopped
from loomwire.application.agents.outcomes import ToolOutcome, ToolRun, told
from loomwire.application.scopes import within
from loomwire.domain.errors import LLMValidationError
from loomwire.domain.ports.clock import IClock
from loomwire.domain.requests import Bound
from loomwire.domain.tools import Tool
from loomwire.domain.values import ToolCall

OnToolError: TypeAlias = Literal["tell", "raise"]
"""What a tool's failure means: the model is told, or the host gets the error."""


class HasToolCalls(Protocol):
    """What asks for tools: every `LLMResponse`."""

    @property
    @abstractmethod
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls, in order."""


class ToolPipeline:
    """Runs what a model asks for: checked arguments, several calls at once, limited time, results in the calls' order.

    The model's own mistakes are told to the model and run nothing: a tool that does not exist, arguments that do not
    fit the schema, and a call that was cut (`arguments=None`). What a tool raises becomes a `ToolExecutionError` with
    the cause, which the model is told of or the host gets. Nothing is logged, arguments and results least of all.

    Holds no state of its own, so one may be shared by tasks, threads and event loops; the circuit breakers belong to
    the tools. Cancellation ends the tools that run and waits for them; a sync function on its thread goes on, since
    nobody can stop it, and its result is dropped.

    Args:
        *tools: What may be called.
        clock: The time; `container.resolve(IClock)`.
        concurrency: How many calls of one answer run at once.
        on_error: `tell` tells the model that a tool failed; `raise` ends the other calls and raises the first error.

    Raises:
        LLMValidationError: Two tools have the same name, or `concurrency` is not at least 1.

    Example:
        >>> from loomwire import LLMConfig, LLMContainer, ToolCall
        >>> async def weather(city: str) -> str:
        ...     return f"It rains in {city}."
        >>> model = LLMConfig(type="rule", model="any", options={"rules": [{"when": "hi", "answer": "Hello."}]})
        >>> with LLMContainer.of({"any": model}) as container:
        ...     tools = container.tool_pipeline(weather)
        >>> asyncio.run(tools.call([ToolCall("1", "weather", {"city": "Rome"})])).results[0].content
        'It rains in Rome.'
    """

    def __init__(self, *tools: BoundTool, clock: IClock, concurrency: int = 8, on_error: OnToolError = "tell") -> None:
        """Keep the tools; run nothing."""
        self._tools: Mapping[str, BoundTool] = {tool.name: tool for tool in tools}
        if len(self._tools) < len(tools):
            raise LLMValidationError("two tools have the same name", hint="Give every tool a name of its own.")
        if concurrency < 1:
            raise LLMValidationError("concurrency must be at least 1", hint="Correct concurrency.")
        self._concurrency = concurrency
        self._on_error: OnToolError = on_error
        self.clock = clock

    @override
    def __repr__(self) -> str:
        return f"ToolPipeline({', '.join(self._tools)})"

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What a model is told of the tools, for `LLMRequest.tools`."""
        return tuple(tool.tool for tool in self._tools.values())

    def only(self, names: Iterable[str]) -> ToolPipeline:
        """Return a pipeline of some of the tools, circuits included.

        Raises:
            KeyError: There is no such tool.
        """
        tools = [self._tools[name] for name in names]
        return ToolPipeline(*tools, clock=self.clock, concurrency=self._concurrency, on_error=self._on_error)

    async def run(
        self, response: HasToolCalls, *, bound: Bound | None = None, deadline_s: float | None = None
    ) -> ToolRun:
        """Run the calls of an answer.

        Args:
            response: The answer; without calls nothing happens.
            bound: When everything has to be done, such as the `request.bound` of the call.
            deadline_s: The same in seconds from now; the earlier one counts.

        Raises:
            LLMTimeoutError: The deadline passed; what ran was cancelled.
            ToolExecutionError: A tool failed and `on_error` is `raise`; the other calls were cancelled.
        """
        return await self.call(response.tool_calls, bound=bound, deadline_s=deadline_s)

    async def call(
        self, calls: Sequence[ToolCall], *, bound: Bound | None = None, deadline_s: float | None = None
    ) -> ToolRun:
        """Run calls; else as `run`."""
        if deadline_s is not None:
            at = self.clock.now() + deadline_s
            bound = Bound(at) if bound is None or at < bound.at else bound
        if bound is None or bound.at == math.inf:
            return await self._all(calls, None)
        return await within(self.clock, bound.at, bound.reason, lambda: self._all(calls, bound))

    async def _all(self, calls: Sequence[ToolCall], bound: Bound | None) -> ToolRun:
        gate = asyncio.Semaphore(self._concurrency)
        first: Exception
        try:
            # A group and not `gather`: it waits for the last tool under a second cancellation too.
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._gated(gate, call, bound)) for call in calls]
        except ExceptionGroup as failures:
            first = failures.exceptions[0]
        else:
            run = ToolRun(tuple(map(self._outcome, calls, tasks)))
            if self._on_error == "tell" or not run.errors:
                return run
            first = run.errors[0]
        # Outside the handler: the group is no business of the host's.
        raise first

    async def _gated(self, gate: asyncio.Semaphore, call: ToolCall, bound: Bound | None) -> ToolOutcome:
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(self._tools) or "none"
            return told(call, "unknown", f"There is no tool of this name. The tools are: {known}.")
        async with gate:
            outcome = await called(tool, call, self.clock, bound)
        if outcome.error is not None and self._on_error == "raise":
            raise outcome.error
        return outcome

    @staticmethod
    def _outcome(call: ToolCall, task: asyncio.Task[ToolOutcome]) -> ToolOutcome:
        # The group takes a task that something in the tool cancelled for one that ended well.
        return stopped(call.name, call) if task.cancelled() else task.result()
