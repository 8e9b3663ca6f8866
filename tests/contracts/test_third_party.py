"""Somebody else's package, outside this repository, runs our contracts with nothing but pytest."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PACKAGE = '''
from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse


class LoudClient(ILLMClient):
    """Somebody's own layer."""

    def __init__(self, inner: ILLMClient) -> None:
        self.inner = inner

    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        return await self.inner.generate(request)

    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return self.inner.stream(request)
'''

CLIENT = """
from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loomwire.domain.ports.client import ILLMClient
from loomwire.testing import Reply, ScriptedClient
from loomwire.testing.contracts.client import ClientContract

from loud import LoudClient


class TestLoudClient(ClientContract):
    supports_reasoning = False

    @asynccontextmanager
    async def client_answering(self, *replies: Reply) -> AsyncIterator[ILLMClient]:
        yield LoudClient(ScriptedClient(*replies[:-1], then=replies[-1]))
"""

OTHERS = """
from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from loomwire import ILLMClientFactory, LLMConfig, LLMContainer
from loomwire.domain.caching.policies import MemoryLevel
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.container import IDependencyContainer
from loomwire.domain.ports.events import IEventSink
from loomwire.domain.ports.output import IOutputSchemas
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.infrastructure.caching.memory import MemoryCache
from loomwire.infrastructure.outputs.pydantic_schemas import PydanticOutputSchemas
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import RecordingSink
from loomwire.testing.contracts.cache import CacheContract
from loomwire.testing.contracts.clock import ClockContract
from loomwire.testing.contracts.container import ContainerContract
from loomwire.testing.contracts.factory import ClientFactoryContract
from loomwire.testing.contracts.output import OutputSchemasContract
from loomwire.testing.contracts.pool import PoolContract
from loomwire.testing.contracts.sink import EventSinkContract

RULES = LLMConfig(type="rule", model="m", options={"rules": [{"answer": "Paris.", "default": True}]})


class TestClock(ClockContract):
    def clock(self) -> IClock:
        return SystemClock()


class TestCache(CacheContract):
    unit_s = 0.1
    slack_s = 0.1

    @asynccontextmanager
    async def cache(self, limit_bytes: int) -> AsyncIterator[ICacheStrategy]:
        yield MemoryCache(MemoryLevel(limit_bytes))


class TestSink(EventSinkContract):
    def sink(self) -> IEventSink:
        return RecordingSink()


class TestPool(PoolContract):
    def pool(self) -> IConnectionPool:
        return ConnectionPool()


class TestSchemas(OutputSchemasContract):
    def schemas(self) -> IOutputSchemas:
        return PydanticOutputSchemas()


class TestFactory(ClientFactoryContract):
    def factory(self) -> ILLMClientFactory:
        return ClientFactory(ConnectionPool(), SystemClock())

    def buildable(self, base_url: str) -> Sequence[LLMConfig]:
        return [RULES, LLMConfig(type="llamacpp", model="m", base_url=base_url, allow_private=True)]


class TestContainer(ContainerContract):
    names = ("planner",)
    answering = ("planner",)

    @asynccontextmanager
    async def container(self) -> AsyncIterator[IDependencyContainer]:
        async with LLMContainer.of({"planner": RULES}) as container:
            yield container
"""

BROKEN = (
    CLIENT
    + """

class Deaf(LoudClient):
    async def generate(self, request):  # type: ignore
        import asyncio
        from loomwire.testing import ScriptedClient
        try:
            return await self.inner.generate(request)
        except asyncio.CancelledError:
            return await ScriptedClient("never mind").generate(request)


class TestDeafClient(ClientContract):
    @asynccontextmanager
    async def client_answering(self, *replies: Reply) -> AsyncIterator[ILLMClient]:
        yield Deaf(ScriptedClient(*replies[:-1], then=replies[-1]))


class TestUnfinished(ClientContract):
    pass
"""
)


def package(folder: Path, **tests: str) -> Path:
    """Write the package and its tests, without any configuration."""
    (folder / "loud.py").write_text(textwrap.dedent(PACKAGE), encoding="utf-8")
    for name, text in tests.items():
        (folder / f"test_{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def run(folder: Path, *words: str) -> tuple[int, str]:
    """Run a module of the standard kind in the package's folder, without any plugin."""
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONWARNINGS": "error"}
    env.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, encoding="utf-8", check=False)
    return done.returncode, done.stdout + done.stderr


def test_bare_pytest_runs_the_client_contract_and_says_what_it_skipped(tmp_path: Path) -> None:
    code, said = run(package(tmp_path, client=CLIENT), "pytest", "-p", "no:cacheprovider", "-q", "-rs")
    assert code == 0, said
    assert "TestLoudClient says supports_reasoning = False" in said
    assert "TestLoudClient says obeys_deadline_s = False" in said
    assert "2 skipped" in said


def test_a_broken_client_is_told_which_promise_it_broke_without_assertion_rewriting(tmp_path: Path) -> None:
    words = ("pytest", "-p", "no:cacheprovider", "-q", "--assert=plain", "-k", "TestDeaf or TestUnfinished")
    code, said = run(package(tmp_path, broken=BROKEN), *words)
    assert code == 1, said
    assert "TestDeafClient breaks a promise of loomwire.domain.ports.client.ILLMClient" in said
    assert "promise: Cancelling `generate` at any await ends it with CancelledError" in said
    assert "turns of the loop, it returned LLMResponse" in said
    assert "TestUnfinished must write the method `client_answering`" in said


@pytest.mark.full
def test_bare_pytest_runs_every_contract(tmp_path: Path) -> None:
    code, said = run(package(tmp_path, others=OTHERS), "pytest", "-p", "no:cacheprovider", "-q")
    assert code == 0, said
    assert "skipped" not in said


@pytest.mark.full
def test_a_suite_of_somebody_else_passes_mypy_strict(tmp_path: Path) -> None:
    package(tmp_path, client=CLIENT, others=OTHERS)
    code, said = run(tmp_path, "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), ".")
    assert code == 0, said
