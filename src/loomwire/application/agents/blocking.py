"""The blocking faces of tools and agents, on the container's loop thread."""

from __future__ import annotations

from typing import TypeVar

from typing_extensions import override

from loomwire.application.agents.executor import AgentExecutor
from loomwire.application.agents.runs import AgentRun
from loomwire.application.clients.typed import TypedLLMClient
from loomwire.application.loop_thread import LoopThread
from loomwire.domain.requests import LLMRequest

T = TypeVar("T")


class SyncAgentExecutor:
    """The blocking twin of an agent. Safe to share by threads; never call it inside a running event loop.

    Async tools run on the loop of the thread, sync ones on threads of their own.

    Args:
        agent: The agent.
        thread: The container's loop thread.
    """

    def __init__(self, agent: AgentExecutor, thread: LoopThread) -> None:
        """Wrap `agent`."""
        self._agent = agent
        self._thread = thread

    @override
    def __repr__(self) -> str:
        return f"Sync > {self._agent!r}"

    def run(self, request: LLMRequest) -> AgentRun[str]:
        """Work until the model answers or a limit is reached; raises what the async agent raises.

        Raises:
            LLMValidationError: reason sync_in_loop, inside a running event loop.
        """
        return self._thread.run(self._agent.run(request), "use `await agent.run(...)`")

    def run_typed(self, request: LLMRequest, typed: TypedLLMClient[T]) -> AgentRun[T]:
        """Work and give the answer as an object; else as `run`."""
        return self._thread.run(self._agent.run_typed(request, typed), "use `await agent.run_typed(...)`")
