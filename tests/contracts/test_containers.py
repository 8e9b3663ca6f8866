"""Our container keeps the contract of IDependencyContainer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import ClassVar

from typing_extensions import override

from loomwire import LLMConfig, LLMContainer
from loomwire.domain.ports.container import IDependencyContainer
from loomwire.testing.contracts.container import ContainerContract
from support.folders import REPOSITORY


class TestContainerInCode(ContainerContract):
    names: ClassVar[tuple[str, ...]] = ("planner", "writer", "storyteller")
    answering: ClassVar[tuple[str, ...]] = ("planner", "storyteller")

    @override
    @asynccontextmanager
    async def container(self) -> AsyncGenerator[IDependencyContainer]:
        rules = LLMConfig(type="rule", model="m", options={"rules": [{"answer": "Paris.", "default": True}]})
        clients = {"planner": rules, "writer": LLMConfig.llamacpp("m"), "storyteller": rules}
        async with await asyncio.to_thread(LLMContainer.of, clients) as container:
            yield container


class TestContainerOfTheSampleConfiguration(ContainerContract):
    names: ClassVar[tuple[str, ...]] = ("planner", "reader", "storyteller")
    answering: ClassVar[tuple[str, ...]] = ("planner",)

    @override
    def container(self) -> AbstractAsyncContextManager[IDependencyContainer]:
        return LLMContainer.aopen(REPOSITORY / "config")
