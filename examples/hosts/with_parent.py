"""A host on dependency-injector is the parent: two configurations run on its one pool and report to its one ledger.

Of a parent, loomwire takes what it has of `clock`, `connection_pool`, `event_sink` and `output_schemas`. Every other
host gives an `IDependencyContainer`: something whose `resolve(port)` answers, or raises `UnknownNameError`.
Run it with `python -m examples.hosts.with_parent`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from decimal import Decimal

from dependency_injector import containers, providers

from loomwire import Cost, LLMContainer, LLMRequest
from loomwire.domain.events import CallRecord
from loomwire.infrastructure.transport.deferred import DeferredPool


class Ledger:
    """What the host's departments spent together; an event sink by its one method."""

    def __init__(self) -> None:
        self.spent_usd = Decimal(0)
        self.calls = 0

    def emit(self, record: CallRecord) -> None:
        """Add a whole call up."""
        if record.level == "call":
            self.calls += 1
            self.spent_usd += record.cost.usd if isinstance(record.cost, Cost) else 0


class Host(containers.DeclarativeContainer):
    """The host's own parts, under the names that loomwire asks for."""

    connection_pool = providers.ThreadSafeSingleton(DeferredPool)
    event_sink = providers.ThreadSafeSingleton(Ledger)


async def ask_all(host: containers.Container, folders: Sequence[str], wish: str) -> list[str]:
    """Ask the planner of every department; each has its own configuration and nothing else of its own."""
    answers = []
    async with AsyncExitStack() as stack:
        for folder in folders:
            department = await stack.enter_async_context(LLMContainer.aopen(folder, parent=host))
            answers.append((await department.llm_client("planner").generate(LLMRequest.of(wish))).text)
    return answers


async def main(*folders: str) -> None:
    """Ask two departments, and close the pool, which is the host's."""
    host = Host()
    try:
        for answer in await ask_all(host, folders or ("config", "config"), "Plan a weekend in Lisbon"):
            print(answer)
        print(f"{host.event_sink().calls} calls, {host.event_sink().spent_usd} USD")
    finally:
        await host.connection_pool().aclose()


if __name__ == "__main__":
    asyncio.run(main())
