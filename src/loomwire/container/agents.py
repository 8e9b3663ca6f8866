"""Handing out tools and agents."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from loomwire.application.loop_thread import LoopThread
from loomwire.application.registry import ClientHandle

if TYPE_CHECKING:
    from dependency_injector import containers

    from loomwire.application.agents.binding.bound import BoundTool, ToolPolicy
    from loomwire.application.agents.blocking import SyncAgentExecutor
    from loomwire.application.agents.executor import AgentExecutor
    from loomwire.application.agents.limits import AgentLimits
    from loomwire.application.agents.tool_pipeline import OnToolError, ToolPipeline

HostTool: TypeAlias = "BoundTool | Callable[..., object]"
"""A bound tool, or a function with types that is bound with the usual policy."""


class AgentResolver:
    """The part of a container that makes tools and agents. Safe for threads and event loops."""

    wiring: containers.Container
    _threads: LoopThread

    @abstractmethod
    def _handle(self, name: str) -> ClientHandle: ...

    def tool(
        self,
        function: Callable[..., object],
        *,
        name: str = "",
        description: str = "",
        policy: ToolPolicy | None = None,
    ) -> BoundTool:
        """Bind a function as a tool: its parameters and their types become the JSON Schema, its docstring the rest.

        Bind once at start and keep it: the tool's circuit breaker lives in it, and the first schema of a process makes
        pydantic read files, which should not happen in a running event loop.

        Args:
            function: Sync or async, with types. What a `functools.partial` gives by name no model is told of.
            name: The tool's name; the function's unless given.
            description: For the model; the docstring unless given.
            policy: Its time, its further tries, its circuit breaker.

        Raises:
            LLMValidationError: A parameter has no type, or none with a JSON Schema; or the name is not allowed.
        """
        # Like typed clients, imported once somebody asks.
        from loomwire.application.agents.binding.bound import BoundTool, ToolPolicy

        schemas = self.wiring.output_schemas()
        return BoundTool.of(function, schemas, name=name, description=description, policy=policy or ToolPolicy())

    def tool_pipeline(self, *tools: HostTool, concurrency: int = 8, on_error: OnToolError = "tell") -> ToolPipeline:
        """Return what runs the tool calls of answers; arguments and errors as in `ToolPipeline`.

        Args:
            *tools: Bound tools, or functions with types.
            concurrency: How many calls of one answer run at once.
            on_error: Whether the model is told that a tool failed, or the error is raised.
        """
        from loomwire.application.agents.binding.bound import BoundTool
        from loomwire.application.agents.tool_pipeline import ToolPipeline

        bound = [each if isinstance(each, BoundTool) else self.tool(each) for each in tools]
        return ToolPipeline(*bound, clock=self.wiring.clock(), concurrency=concurrency, on_error=on_error)

    def agent(self, name: str, *tools: HostTool, limits: AgentLimits | None = None) -> AgentExecutor:
        """Return a client and tools in a bounded loop; for more settings build `AgentExecutor` by hand.

        Args:
            name: The client's name.
            *tools: Bound tools, or functions with types.
            limits: When a run ends.

        Raises:
            UnknownNameError: No such client.
            LLMValidationError: A function cannot be bound.
        """
        from loomwire.application.agents.executor import AgentExecutor
        from loomwire.application.agents.limits import AgentLimits

        return AgentExecutor(self._handle(name), self.tool_pipeline(*tools), limits or AgentLimits())

    def sync_agent(self, name: str, *tools: HostTool, limits: AgentLimits | None = None) -> SyncAgentExecutor:
        """Return the blocking twin of an agent, for code outside event loops."""
        from loomwire.application.agents.blocking import SyncAgentExecutor

        return SyncAgentExecutor(self.agent(name, *tools, limits=limits), self._threads)
