"""An agent with two tools, a limit and a way to go on: no key, no network.

Run it with `python -m examples.agent`. The rules below stand for a model; a real one needs a configuration folder and
`LLMContainer.open("config/")`, and not a line of the rest changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from loomwire import LLMConfig, LLMContainer, LLMRequest
from loomwire.application.agents.binding.bound import ToolPolicy
from loomwire.application.agents.limits import AgentLimits
from loomwire.domain.errors import ToolExecutionError
from loomwire.domain.policies import RetryPolicy

MODEL = LLMConfig(
    type="rule",
    model="any",
    options={
        "rules": [
            {"after_tool": True, "answer": "Take a coat: it rains, and the train leaves at 9:10."},
            {
                "when": "Rome",
                "tool_calls": [
                    {"name": "weather", "arguments": {"city": "Rome", "days": 1}},
                    {"name": "trains", "arguments": {"city": "Atlantis"}},
                ],
            },
        ]
    },
)


@dataclass(frozen=True)
class Forecast:
    """What a tool may return: dataclasses become JSON."""

    city: str
    rain_mm: float


async def weather(
    city: str, days: Annotated[int, Field(ge=1, le=7, description="How many days ahead")] = 1
) -> Forecast:
    """Say how the weather of a city will be."""
    return Forecast(city, 4.5 * days)


def trains(city: str) -> list[str]:
    """List the trains to a city. A sync function: it runs on a thread."""
    if city == "Atlantis":
        # The model reads these words; of other exceptions it learns the type only.
        raise ToolExecutionError("there are no trains to this city")
    return ["9:10", "10:40"]


def main() -> list[str]:
    """Run the agent twice: once it is stopped before it has an answer, then it goes on."""
    said = []
    with LLMContainer.of({"guide": MODEL}) as container:
        # Reading the weather twice does no harm, so it may be tried again.
        patient = ToolPolicy(timeout_s=5, retries=RetryPolicy(attempts=2))
        tools = [container.tool(weather, policy=patient), container.tool(trains)]
        request = LLMRequest.of("What should I take to Rome?")
        first = container.sync_agent("guide", *tools, limits=AgentLimits(steps=1)).run(request)
        said.append(f"{first.ended}: {', '.join(call.name for call in first.pending)} not run")
        second = container.sync_agent("guide", *tools).run(LLMRequest(first.messages))
        for turn in second.turns:
            said += [f"{outcome.call.name} {outcome.ended}: {outcome.result.content}" for outcome in turn.outcomes]
        said.append(second.output)
    return said


if __name__ == "__main__":
    print("\n".join(main()))
