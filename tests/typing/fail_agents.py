"""Lines that must fail: an agent's answer is its type, and what is no function is no tool."""

from __future__ import annotations

from dataclasses import dataclass

from loomwire import LLMContainer, LLMRequest


@dataclass(frozen=True)
class Plan:
    days: int


async def wrong_uses(container: LLMContainer, request: LLMRequest) -> None:
    container.tool("weather")  # E: arg-type
    container.tool_pipeline(on_error="ignore")  # E: arg-type
    agent = container.agent("guide", limits=3)  # E: arg-type
    run = await agent.run_typed(request, container.typed(Plan, "guide"))
    str(run.output.hours)  # E: attr-defined
    str(run.answer.output)  # E: union-attr
    await agent.run("What should I take?")  # E: arg-type
    await container.tool_pipeline().run(request)  # E: arg-type
