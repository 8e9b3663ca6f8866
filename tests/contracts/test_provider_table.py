"""Every row of the provider table is complete and keeps the contract of ILLMClient: networked rows on real sockets."""

from __future__ import annotations

import importlib
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import JSON, Secret
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS, option_checks
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.deferred import DeferredPool
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FakeProvider, Reply
from loomwire.testing.contracts.client import ClientContract
from loomwire.testing.contracts.factory import ClientFactoryContract

PLACES: Mapping[str, str] = {
    "anthropic": "/v1/messages",
    **dict.fromkeys(("vllm", "lm_studio", "llamacpp"), "/v1/chat/completions"),
    "azure_openai": "/openai/v1/chat/completions",
    "azure_ai": "/models/chat/completions?api-version=2024-05-01-preview",
    "bedrock": "/model/m/converse",
    "cohere": "/chat",
    "ollama": "/api/chat",
    **dict.fromkeys(("gemini", "google"), "/v1beta/models/m:generateContent"),
    "vertex": "/publishers/google/models/m:generateContent",
}
"""Where rows ask below an address that has no path; the others at /chat/completions."""

ELSEWHERE: Mapping[str, str] = {
    "local": "tests/llama, against llama.cpp itself",
    "voyage": "tests/contracts/test_embedding.py: it has no chat",
}
"""Rows that no fake can stand in for, and where they are proved instead."""

# Threads that import a module at the same time wait for each other, which is taken for a loop that is blocked.
for _place in (
    "loomwire.infrastructure.providers.wire.client:WireClient",
    *(row.client for row in DIALECTS.values()),
    *(row.client for row in PROVIDERS.values() if row.client),
):
    importlib.import_module(_place.partition(":")[0])

NETWORKED = [name for name, row in PROVIDERS.items() if row.client is None and name not in ELSEWHERE]
ASKING = [name for name in NETWORKED if getattr(PROVIDERS[name].quirks, "stream_usage", True)]
OFFLINE = [name for name, row in PROVIDERS.items() if row.client is not None and name not in ELSEWHERE]
OPTIONS: dict[str, dict[str, JSON]] = {
    "mock": {"script": [{"text": "Hello."}]},
    "rule": {"rules": [{"answer": "Hello.", "default": True}]},
}


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_row_is_complete(name: str) -> None:
    row = PROVIDERS[name]
    assert row.name == name
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    assert (row.client is None) or (row.dialect is None and (row.embeds is not None or not row.needs_key))
    assert row.dialect is None or row.dialect in DIALECTS
    assert row.base_url is None or re.fullmatch(
        r"https://[a-z.]+(/[a-z0-9/]+)?|https://[a-z-]+\.\{region\}\.[a-z.]+|http://127\.0\.0\.1:\d+(/v1)?",
        row.base_url,
    )
    assert row.private == (row.base_url or "").startswith("http://")
    assert not row.needs_key or re.fullmatch(r"[A-Z_]+_API_KEY|AWS_BEARER_TOKEN_BEDROCK", row.hint)


@pytest.mark.parametrize(
    "place",
    [
        *(place for row in DIALECTS.values() for place in (row.client, row.speaker)),
        *(row.client for row in PROVIDERS.values() if row.client),
    ],
)
def test_what_a_row_names_exists(place: str) -> None:
    module, _, name = place.partition(":")
    assert isinstance(getattr(importlib.import_module(module), name), type)


def test_the_checks_of_options_find_what_is_wrong_and_nothing_else() -> None:
    checks = option_checks()
    assert set(checks) == {"script", "rules"}
    for name, options in OPTIONS.items():
        for option, value in options.items():
            assert list(checks[option](value)) == [], name
            assert list(checks[option]([])) != [], name


def test_every_row_with_a_server_of_its_own_is_proved_elsewhere() -> None:
    missing = [name for name in NETWORKED if PROVIDERS[name].in_process]
    assert set(ELSEWHERE) <= set(PROVIDERS)
    if missing:
        pytest.fail(
            f"{', '.join(missing)}: no fake can stand in for a server of our own; name in ELSEWHERE the tests that run "
            "ClientContract over it",
            pytrace=False,
        )


def test_every_row_without_a_network_has_a_suite() -> None:
    known = {"mock": TestMockRow, "rule": TestRuleRow}
    missing = [name for name in OFFLINE if name not in known or name not in OPTIONS]
    if missing:
        pytest.fail(
            f"{', '.join(missing)}: a row without a network needs an entry in OPTIONS and a subclass of ClientContract "
            "in this module whose `client_answering` makes it say the replies; or, if only its own engine can, an "
            "entry in ELSEWHERE that names the tests that prove it",
            pytrace=False,
        )


def networked_config(name: str, base_url: str) -> LLMConfig:
    """Return a target of a networked row whose vendor listens at `base_url`."""
    dialect = None if PROVIDERS[name].dialect else next(iter(DIALECTS))
    key = (Secret("table-key"),)
    return LLMConfig(type=name, model="m", dialect=dialect, base_url=base_url, keys=key, allow_private=True)


def offline_client(name: str, options: Mapping[str, JSON]) -> ILLMClient:
    """Return a client of an offline row."""
    return ClientFactory(DeferredPool(), SystemClock()).create(LLMConfig(type=name, model="m", options=options))


class NetworkedRow(ClientContract):
    """A vendor's row over a server on this machine; a new row is picked up from the table."""

    name: str
    pool: ConnectionPool

    @override
    @asynccontextmanager
    async def client_answering(self, *replies: Reply) -> AsyncGenerator[ILLMClient]:
        self.pool = ConnectionPool()
        async with FakeProvider(*replies[:-1], then=replies[-1]) as provider:
            yield ClientFactory(self.pool, SystemClock()).create(networked_config(self.name, provider.base_url))
            await self.pool.aclose()

    @override
    def in_use(self, client: ILLMClient) -> int:
        return self.pool.get_stats().active


ALIKE = set(ASKING) - set({PROVIDERS[name].dialect: name for name in reversed(ASKING)}.values())
"""Rows that speak a dialect as the first row of it does."""


class TestEveryRowThatAsksForUsage(NetworkedRow):
    """What leaving a stream leaves behind depends on the dialect: by default one row of each tells it."""

    for_full = (
        "test_reading_a_stream_can_be_cancelled_at_any_event",
        "test_leaving_a_stream_early_gives_everything_back",
    )
    rows_for_full = ALIKE

    @pytest.fixture(autouse=True, params=ASKING)
    def row(self, request: pytest.FixtureRequest) -> None:
        """Take one row."""
        self.name = str(request.param)


class TestEveryRowThatIsToldUsageUnasked(NetworkedRow):
    """The fake provider tells a stream's usage only when asked, as OpenAI does; recordings prove it for these."""

    reports_stream_usage = False

    @pytest.fixture(autouse=True, params=[name for name in NETWORKED if name not in ASKING])
    def row(self, request: pytest.FixtureRequest) -> None:
        """Take one row."""
        self.name = str(request.param)


def entry_of(reply: Reply, text: str) -> dict[str, JSON]:
    """Return a reply as scripts and rules describe it; `text` is their word for the text."""
    if reply.failure is not None:
        failed: dict[str, JSON] = {"error": reply.failure.reason, "status": reply.failure.status}
        return failed if reply.failure.retry_after is None else {**failed, "retry_after": reply.failure.retry_after}
    entry: dict[str, JSON] = {"reasoning": reply.reasoning, "delay_s": reply.delay_s}
    if reply.tool_calls:
        entry["tool_calls"] = [{"name": call.name, "arguments": call.arguments} for call in reply.tool_calls]
    else:
        entry[text] = reply.text
    if reply.finish is not None:
        entry["finish"] = reply.finish
    return entry


class TestMockRow(ClientContract):
    @override
    @asynccontextmanager
    async def client_answering(self, *replies: Reply) -> AsyncGenerator[ILLMClient]:
        *first, last = map(self._entry, replies)
        yield offline_client("mock", {"script": [*first, {**last, "repeat": True}]})

    def _entry(self, reply: Reply) -> dict[str, JSON]:
        entry = entry_of(reply, "text")
        if reply.cut_after is not None:
            entry["cut_after"] = reply.cut_after
        if reply.usage is not None:
            entry["usage"] = {"input_tokens": reply.usage.input_tokens, "output_tokens": reply.usage.output_tokens}
        return entry


class TestRuleRow(ClientContract):
    """Rules know no order, no breaks and no usage, and of a failure its reason only."""

    plays_in_order = False
    plays_breaks = False
    plays_failures = False
    reports_usage = False

    @override
    @asynccontextmanager
    async def client_answering(self, *replies: Reply) -> AsyncGenerator[ILLMClient]:
        yield offline_client("rule", {"rules": [{**entry_of(replies[-1], "answer"), "default": True}]})


class TestClientFactory(ClientFactoryContract):
    """The factory that knows the table keeps the contract of ILLMClientFactory."""

    @override
    def factory(self) -> ILLMClientFactory:
        return ClientFactory(DeferredPool(), SystemClock())

    @override
    def buildable(self, base_url: str) -> Sequence[LLMConfig]:
        offline = [LLMConfig(type=name, model="m", options=options) for name, options in OPTIONS.items()]
        return [*(networked_config(name, base_url) for name in NETWORKED), *offline]

    @override
    def refused(self) -> Sequence[LLMConfig]:
        key = (Secret("canary-4711"),)
        return [
            *(LLMConfig(type=row.name, model="m") for row in PROVIDERS.values() if row.needs_key),
            LLMConfig(type="custom", model="m", keys=key),
            LLMConfig(type="vllm", model="m", keys=key),
            LLMConfig(type="vllm", model="m", keys=key, base_url="http://127.0.0.1:1/v1"),
            LLMConfig(type="openai", model="m", keys=key, base_url="ftp://nowhere/v1"),
            LLMConfig(type="mock", model="m"),
            LLMConfig(type="rule", model="m", options={"rules": []}),
        ]


@pytest.mark.parametrize("name", NETWORKED)
async def test_a_networked_row_asks_where_its_vendor_listens_with_its_key(name: str) -> None:
    pool = ConnectionPool()
    async with FakeProvider(then="Hello.") as provider:
        bare = provider.base_url.removesuffix("/v1")
        client = ClientFactory(pool, SystemClock()).create(networked_config(name, bare))
        assert (await client.generate(LLMRequest.of("Hi"))).text == "Hello."
        async with client.stream(LLMRequest.of("Hi")) as stream:
            assert [event async for event in stream]
        places = {seen.path.replace(":streamGenerateContent?alt=sse", ":generateContent") for seen in provider.requests}
        places = {place.replace("/converse-stream", "/converse") for place in places}
        assert places == {PLACES.get(name, "/chat/completions")}
        # Where a row says none, its dialect writes the header.
        header = "authorization" if PROVIDERS[name].auth in ("bearer", "none") else PROVIDERS[name].auth
        told = {seen.headers[header].removeprefix("Bearer ") for seen in provider.requests}
        assert told == {"table-key"}
        assert (pool.get_stats().active, pool.get_stats().reused) == (0, int(PROVIDERS[name].keepalive))
        await pool.aclose()
