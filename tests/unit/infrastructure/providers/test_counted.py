"""Who counts is built; who does not says who does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, ConfigError, LLMError, UnknownNameError
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import Secret
from loomwire.infrastructure.local.engine import Engine
from loomwire.infrastructure.local.server import LocalServers
from loomwire.infrastructure.local.settings import LocalSettings
from loomwire.infrastructure.providers.counting.columns import COUNTS
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FakeProvider
from support.engines import Pretended

HI = LLMRequest.of("Hi")


def factory(pool: ConnectionPool | None = None, servers: LocalServers | None = None) -> ClientFactory:
    return ClientFactory(pool or ConnectionPool(), SystemClock(), servers=servers)


def config(type_: str, dialect: str | None = None) -> LLMConfig:
    return LLMConfig(
        type=type_,
        model="m",
        dialect=dialect,
        base_url="https://x.test/v1",
        keys=(Secret("key-of-a-test"),),
        allow_private=True,
    )


@pytest.mark.parametrize("name", COUNTS)
def test_a_row_that_counts_names_dialects_that_its_servers_speak(name: str) -> None:
    row = PROVIDERS[name]
    assert row.counts == COUNTS[name]
    spoken = {row.dialect, *(also.dialect for also in row.also)} if row.dialect else DIALECTS.keys()
    assert {counts.dialect for counts in row.counts} <= spoken


def test_leaves_say_what_they_are(tmp_path: Path) -> None:
    assert repr(factory().counter(config("anthropic"))) == "CountDialect(anthropic/m)"
    replayed = LLMConfig(type="anthropic", model="m", replay=str(tmp_path))
    assert repr(factory().counter(replayed)) == "CountDialect(anthropic/m, replay)"


@pytest.mark.parametrize(
    ("type_", "dialect", "says", "hint"),
    [
        ("groq", None, "type groq cannot count tokens over openai_chat", "Types that count tokens: anthropic, openai"),
        ("azure_openai", "openai_responses", "cannot count tokens over openai_responses", "Types that count"),
        ("deepseek", "anthropic", "type deepseek cannot count tokens over anthropic", "Types that count"),
        ("mock", None, "type mock cannot count tokens", "Types that count"),
        ("voyage", None, "type voyage cannot count tokens", "Types that count"),
        ("openai", None, "over openai_chat", "Set `dialect` at providers.openai to openai_responses. Types"),
        ("llamacpp", None, "over openai_chat", "Set `dialect` at providers.llamacpp to anthropic. Types"),
        ("custom", "openai_chat", "over openai_chat", "to anthropic or openai_responses or gemini or bedrock. Types"),
    ],
)
def test_who_cannot_count_says_who_can(type_: str, dialect: str | None, says: str, hint: str) -> None:
    with pytest.raises(CapabilityError, match=says) as caught:
        factory().counter(config(type_, dialect))
    assert hint in caught.value.hint
    assert "openai (with dialect openai_responses)" in caught.value.hint
    assert "gemini, google, vertex, bedrock, vllm (with dialect anthropic)" in caught.value.hint
    assert (caught.value.provider, caught.value.model) == (type_, "m")


def test_what_is_missing_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="needs an API key"):
        factory().counter(LLMConfig(type="anthropic", model="m"))
    with pytest.raises(UnknownNameError, match="unknown type"):
        factory().counter(config("nobody"))


async def test_a_model_of_this_process_counts_on_the_server_that_answers(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    await asyncio.to_thread(file.write_bytes, b"GGUF")
    local = LLMConfig(type="local", model="m", dialect="anthropic", options={"model_path": str(file)})
    started: list[LocalSettings] = []
    pool = ConnectionPool()
    async with FakeProvider() as provider:

        def start(settings: LocalSettings) -> Engine:
            started.append(settings)
            return Pretended(provider.base_url)

        servers = LocalServers(start)
        counter = factory(pool, servers).counter(local)
        client = await asyncio.to_thread(factory(pool, servers).create, local)
        assert (repr(counter), started) == ("LocalCounter(local/m)", [])
        assert (await counter.count(HI)).input_tokens > 0
        await client.generate(HI)
        assert len(started) == 1
        assert [each.path for each in provider.requests] == ["/v1/messages/count_tokens", "/v1/messages"]
        assert provider.requests[0].headers["authorization"] == "Bearer engine-key"
        await asyncio.to_thread(servers.close)
        with pytest.raises(LLMError, match="closed"):
            await counter.count(HI)
        await pool.aclose()
