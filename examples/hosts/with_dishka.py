"""A host on dishka: `LLMContainer` is one factory, and every unit of work runs on one configuration.

Run it with `python -m examples.hosts.with_dishka`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable

from dishka import AsyncContainer, Provider, Scope, make_async_container, provide

from loomwire import ILLMClient, LLMContainer, LLMRequest
from loomwire.container.pinning import PinnedContainer


class Travel:
    """A service of the host: it is given its client and knows nothing of containers."""

    def __init__(self, llm: ILLMClient) -> None:
        self._llm = llm

    async def plan(self, wish: str) -> str:
        """Return a plan."""
        return (await self._llm.generate(LLMRequest.of(wish))).text


class LLMProvider(Provider):
    """Opens loomwire with the application and closes it with it.

    A service that lives as long as the application takes its client from `LLMContainer` and sees every edit. One that
    lives as long as a unit of work takes it from `PinnedContainer`: an edit meanwhile is for the next one.
    """

    def __init__(self, folder: str = "config") -> None:
        super().__init__()
        self._folder = folder

    @provide(scope=Scope.APP)
    async def container(self) -> AsyncIterable[LLMContainer]:
        """Deliver the container, opened on a thread."""
        async with LLMContainer.aopen(self._folder) as container:
            yield container  # noqa: ASYNC119  # dishka runs what follows, in the same task

    @provide(scope=Scope.REQUEST)
    def pinned(self, container: LLMContainer) -> Iterable[PinnedContainer]:
        """Deliver the configuration that is in force when the unit of work begins, until it ends."""
        with container.pinned() as run:
            yield run

    @provide(scope=Scope.REQUEST)
    def travel(self, run: PinnedContainer) -> Travel:
        """Return the host's service with its client."""
        return Travel(run.llm_client("planner"))


async def plan(app: AsyncContainer, wish: str) -> str:
    """Do one unit of work."""
    async with app() as work:
        return await (await work.get(Travel)).plan(wish)


async def main() -> None:
    """Plan a weekend."""
    app = make_async_container(LLMProvider())
    try:
        print(await plan(app, "Plan a weekend in Lisbon"))
    finally:
        await app.close()


if __name__ == "__main__":
    asyncio.run(main())
