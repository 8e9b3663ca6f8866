"""A host on dependency-injector embeds loomwire's wiring as a child container and replaces a part of it.

Run it with `python -m examples.hosts.with_child`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from dependency_injector import containers, providers

from loomwire import ILLMClient, LLMContainer, LLMRequest
from loomwire.container.wiring import Wiring
from loomwire.domain.events import CallRecord


class Ledger:
    """Counts the host's calls by client; it is an event sink by having its one method."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}

    def emit(self, record: CallRecord) -> None:
        """Count a whole call; it may be told from any thread, and never waits."""
        if record.level == "call":
            self.calls[record.client] = self.calls.get(record.client, 0) + 1


class Travel:
    """A service of the host: it is given its client and knows nothing of containers."""

    def __init__(self, llm: ILLMClient) -> None:
        self._llm = llm

    async def plan(self, wish: str) -> str:
        """Return a plan."""
        return (await self._llm.generate(LLMRequest.of(wish))).text


def opened(wiring: containers.Container) -> Iterator[LLMContainer]:
    """Open our container over the child, follow edits of its configuration, and close it with the host's resources."""
    with LLMContainer(wiring, watch=True) as container:
        yield container


class Host(containers.DeclarativeContainer):
    """The host's parts; any part of `Wiring` can be given by its name, or overridden later."""

    config = providers.Configuration()
    ledger = providers.Singleton(Ledger)
    wiring = providers.Container(Wiring, config_root=config.llm_root, event_sink=ledger)
    llm = providers.Resource(opened, wiring)
    travel = providers.Factory(Travel, llm=llm.provided.llm_client.call("planner"))


def main(llm_root: str = "config") -> None:
    """Plan a weekend; resources are opened before the event loop runs, because that reads files."""
    host = Host()
    host.config.from_dict({"llm_root": llm_root})
    host.init_resources()
    try:
        print(asyncio.run(host.travel().plan("Plan a weekend in Lisbon")))
        print(host.ledger().calls)
    finally:
        host.shutdown_resources()


if __name__ == "__main__":
    main()
