"""What agents and tools give back, and which functions may be tools."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import assert_type

from loomwire import LLMContainer, LLMRequest, LLMResponse, ToolResult
from loomwire.application.agents.binding.bound import BoundTool
from loomwire.application.agents.limits import AgentLimits
from loomwire.application.agents.outcomes import ToolRun
from loomwire.application.agents.runs import AgentRun


@dataclass(frozen=True)
class Plan:
    days: int


class Shop:
    def find(self, word: str, *, limit: int = 3) -> list[str]:
        return [word] * limit


async def weather(city: str) -> str:
    return city


async def agents(container: LLMContainer, request: LLMRequest) -> None:
    agent = container.agent("guide", weather, Shop().find, partial(weather, "Rome"), limits=AgentLimits(tokens=9_000))
    run = await agent.run(request)
    assert_type(run, AgentRun[str])
    assert_type(run.output, str)
    assert_type(run.answer, LLMResponse[str] | None)
    typed = await agent.run_typed(request, container.typed(Plan, "guide"))
    assert_type(typed.output, Plan)
    either = await agent.run_typed(request, container.typed(list[Plan], "guide"))
    assert_type(either.output, list[Plan])
    assert_type(container.sync_agent("guide", limits=AgentLimits(cost_usd=Decimal(1))).run(request).output, str)


async def tools(container: LLMContainer, response: LLMResponse[Plan]) -> None:
    bound = container.tool(weather)
    assert_type(bound, BoundTool)
    ran = await container.tool_pipeline(bound, weather, on_error="raise").run(response, deadline_s=5)
    assert_type(ran, ToolRun)
    assert_type(ran.results, tuple[ToolResult, ...])
