"""A workflow engine in 60 lines that embeds loomwire: nodes find their clients by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from loomwire import LLMContainer, LLMNode, LLMRequest, TextDelta


@dataclass(frozen=True)
class Item:
    """One line of an invoice."""

    name: str
    price: float


@dataclass(frozen=True)
class Invoice:
    """What the reader gets out of a text."""

    customer: str
    total: float
    items: list[Item]


PLAN = LLMNode("plan", client="planner", prompt="Plan a weekend in Lisbon")
STORY = LLMNode("story", client="storyteller", prompt="Tell a story of two sentences about this plan:\n{plan}")
NOTE = "Invoice for Ada: 2 notebooks 8.50, 1 pen 1.20"


class Workflow:
    """Runs nodes in order; each finds the answers of those before it by name."""

    def __init__(self, container: LLMContainer, show: Callable[[str, str], None]) -> None:
        """Report to `show(node, text)` as things happen."""
        self._container = container
        self._show = show
        self.state: dict[str, str] = {}

    async def ask(self, node: LLMNode) -> None:
        """Run a node and file its answer."""
        self.state[node.name] = (await node.run(self._container, self.state)).text
        self._show(node.name, self.state[node.name])

    async def tell(self, node: LLMNode) -> None:
        """Run a node as a stream: its words are shown as they come."""
        async with node.stream(self._container, self.state) as stream:
            async for event in stream:
                if isinstance(event, TextDelta):
                    self._show(node.name, event.text)
        self.state[node.name] = stream.response.text

    async def read(self, name: str, text: str) -> Invoice:
        """Get a typed object out of a text."""
        invoice = (await self._container.typed(Invoice, "reader").generate(LLMRequest.of(text))).output
        self._show(name, f"{invoice.customer} owes {invoice.total:.2f} for {len(invoice.items)} items")
        return invoice


async def run(container: LLMContainer, show: Callable[[str, str], None]) -> Mapping[str, str]:
    """Run the three nodes."""
    workflow = Workflow(container, show)
    await workflow.ask(PLAN)
    await workflow.tell(STORY)
    await workflow.read("invoice", NOTE)
    return workflow.state


async def main() -> None:
    """Open the sample configuration and run the workflow."""
    async with LLMContainer.aopen("config") as container:
        await run(container, lambda node, text: print(f"{node}: {text}"))


if __name__ == "__main__":
    asyncio.run(main())
