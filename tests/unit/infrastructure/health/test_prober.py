"""Looks over real sockets: cheap paths only, with the provider's key, and every failure is what was found."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from types import CoroutineType

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.policies import HealthPolicy
from loomwire.domain.reports.reach import Reach
from loomwire.domain.values import JSON, Secret
from loomwire.infrastructure.health.looks import LOOKS, look_of
from loomwire.infrastructure.health.prober import HealthProber
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.rows.kinds import ProviderType
from loomwire.infrastructure.providers.table import PROVIDERS
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import End, FakeProvider, HttpReply, RawReply, ReceivedRequest
from loomwire.testing.wire import WireReply

KEY = "sk-canary-of-the-look"
SOON = HealthPolicy(timeout_s=2.0)


@pytest.fixture
async def pool() -> AsyncIterator[ConnectionPool]:
    """A pool of real connections."""
    pool = ConnectionPool(clock=SystemClock())
    yield pool
    await pool.aclose()


@pytest.fixture
def prober(pool: ConnectionPool) -> HealthProber:
    """A prober over it."""
    clock = SystemClock()
    return HealthProber(pool, clock, ClientFactory(pool, clock))


def at(provider: FakeProvider, type_: str, model: str = "m", path: str = "/v1") -> LLMConfig:
    """Return a model of a type, at the fake provider."""
    base_url = provider.base_url.removesuffix("/v1") + path
    return LLMConfig.of(type_, model, base_url=base_url, api_key=KEY, allow_private=True)


def server(**bodies: JSON | HttpReply) -> FakeProvider:
    """Return a server that knows some paths, `_` for their slashes, and answers 404 to all others."""
    known = {f"/{path.replace('_', '/')}": body for path, body in bodies.items()}

    def says(request: ReceivedRequest) -> HttpReply:
        body = known.get(request.path.partition("?")[0], HttpReply(404, {"error": {"message": "no such path"}}))
        return body if isinstance(body, HttpReply) else HttpReply(body=body)

    return FakeProvider(*(says,) * 8)


async def test_an_ollama_server_says_its_version_what_it_has_and_what_is_in_memory(prober: HealthProber) -> None:
    has: JSON = {"models": [{"name": "llama3:latest"}, {"name": "qwen:7b"}]}
    async with server(api_version={"version": "0.9.1"}, api_tags=has, api_ps={"models": [{"name": "qwen:7b"}]}) as up:
        reach = await prober.look(at(up, "ollama", path=""), SOON)
        paths = [request.path for request in up.requests]
    assert paths == ["/api/version", "/api/tags", "/api/ps"]
    assert (reach.answered, reach.asked, reach.latency_s > 0) == (True, "GET /api/version", True)
    assert (reach.has("llama3"), reach.has("qwen:7b"), reach.has("other")) == (True, True, False)
    assert (reach.holds("llama3"), reach.holds("qwen:7b")) == (False, True)


async def test_an_idle_ollama_server_holds_nothing_and_an_old_one_does_not_say(prober: HealthProber) -> None:
    async with server(api_version={"version": "0.9.1"}, api_ps={"models": []}) as up:
        idle = await prober.look(at(up, "ollama", path=""), SOON)
    async with server(api_version={"version": "0.1.0"}) as up:
        old = await prober.look(at(up, "ollama", path=""), SOON)
    assert (idle.answered, idle.models, idle.loaded) == (True, None, ())
    assert (old.answered, old.models, old.loaded) == (True, None, None)


async def test_a_llamacpp_server_is_well_once_its_model_is_loaded(prober: HealthProber) -> None:
    loading = HttpReply(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})
    async with server(health=loading) as up:
        early = await prober.look(at(up, "llamacpp"), SOON)
    async with server(health={"status": "ok"}) as up:
        late = await prober.look(at(up, "llamacpp"), SOON)
    assert (early.answered, early.holds("any"), early.asked) == (False, False, "GET /health")
    assert (late.answered, late.holds("any"), late.has("any")) == (True, True, True)


async def test_a_vllm_server_holds_what_it_serves(prober: HealthProber) -> None:
    async with server(
        health=HttpReply(headers={"content-type": ""}), v1_models={"data": [{"id": "big"}, {"id": "lora"}]}
    ) as up:
        reach = await prober.look(at(up, "vllm"), SOON)
        paths = [request.path for request in up.requests]
    assert paths == ["/health", "/v1/models"]
    assert (reach.models, reach.loaded) == (("big", "lora"), ("big", "lora"))
    async with server(health=HttpReply(503), v1_models={"data": [{"id": "big"}]}) as up:
        dead = await prober.look(at(up, "vllm"), SOON)
    assert (dead.answered, dead.code[:3]) == (False, "TMP")


async def test_lm_studio_says_what_is_loaded_and_an_older_one_only_names(prober: HealthProber) -> None:
    rows: JSON = {"data": [{"id": "a", "state": "loaded"}, {"id": "b", "state": "not-loaded"}, {"state": "loaded"}]}
    async with server(api_v0_models=rows) as up:
        new = await prober.look(at(up, "lm_studio"), SOON)
    unknown = HttpReply(body={"error": "Unexpected endpoint"})  # with 200: TRAPS 49
    async with server(api_v0_models=unknown, v1_models={"data": [{"id": "a"}]}) as up:
        old = await prober.look(at(up, "lm_studio"), SOON)
    assert (new.models, new.loaded, new.asked) == (("a", "b"), ("a",), "GET /api/v0/models")
    assert (old.answered, old.models, old.loaded) == (True, ("a",), None)


LISTS: Mapping[str, tuple[str, str, JSON, str]] = {
    "openai": ("/v1", "/v1/models", {"data": [{"id": "m"}]}, "authorization"),
    "anthropic": ("/v1", "/v1/models", {"data": [{"id": "m"}], "has_more": False}, "x-api-key"),
    "gemini": ("/v1beta", "/v1beta/models", {"models": [{"name": "models/m"}]}, "x-goog-api-key"),
    "cohere": ("/v2", "/v1/models", {"models": [{"name": "m"}]}, "authorization"),
    "together": ("/v1", "/v1/models", [{"id": "m"}], "authorization"),
}


@pytest.mark.parametrize("type_", LISTS)
async def test_hosted_providers_are_asked_for_their_models_with_the_key(type_: str, prober: HealthProber) -> None:
    base, path, body, header = LISTS[type_]
    async with FakeProvider(HttpReply(body=body)) as up:
        reach = await prober.look(at(up, type_, path=base), SOON)
        (request,) = up.requests
    assert (reach.answered, reach.has("m"), reach.holds("m"), reach.asked) == (True, True, None, f"GET {path}")
    assert (request.method, request.path.partition("?")[0], request.body) == ("GET", path, b"")
    assert KEY in request.headers[header]


async def test_half_of_a_long_list_says_nothing_of_what_is_not_in_it(prober: HealthProber) -> None:
    page: JSON = {"data": [{"id": "a"}], "has_more": True, "last_id": "a"}
    async with FakeProvider(HttpReply(body=page)) as up:
        reach = await prober.look(at(up, "anthropic"), SOON)
    assert (reach.answered, reach.has("m")) == (True, None)


async def test_models_of_azure_are_no_deployments(prober: HealthProber) -> None:
    async with FakeProvider(HttpReply(body={"data": [{"id": "gpt-5"}]})) as up:
        reach = await prober.look(at(up, "azure_openai", "my-deployment", path="/openai"), SOON)
        (request,) = up.requests
    assert (reach.answered, reach.models, request.path.partition("?")[0]) == (True, None, "/openai/v1/models")


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_server_without_such_a_list_is_there_all_the_same(status: int, prober: HealthProber) -> None:
    async with FakeProvider(HttpReply(status, {"error": {"message": "what?"}})) as up:
        reach = await prober.look(replace(at(up, "custom"), dialect="openai_chat"), SOON)
    assert reach == Reach(answered=True, asked="GET /v1/models")


FAILURES: Mapping[str, tuple[WireReply, str]] = {
    "a refused key": (HttpReply(401, {"error": {"message": f"Incorrect API key: {KEY}"}}), "AUT001"),
    "a page": (HttpReply(body="<html>Log in</html>", headers={"content-type": "text/html"}), "PRO001"),
    "no JSON": (HttpReply(body=b"{", headers={"content-type": "application/json"}), "PRO001"),
    "something else": (HttpReply(body={"hello": "world"}), "PRO001"),
    "a crash": (HttpReply(500, {"error": {"message": "boom"}}), "TMP001"),
    "a redirect": (HttpReply(307, headers={"location": "http://127.0.0.1:1/"}), "VAL007"),
    "a reset": (RawReply(End.RESET), "NET003"),
    "silence": (RawReply(30.0), "TIM004"),
    "half an answer": (HttpReply(headers={"content-type": "application/json"}, chunks=[b'{"data": ', 30.0]), "TIM004"),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_is_what_was_found_and_shows_no_key(
    failure: str, prober: HealthProber, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    reply, code = FAILURES[failure]
    async with FakeProvider(reply) as up:
        reach = await prober.look(at(up, "openai"), HealthPolicy(timeout_s=0.2))
    assert (reach.answered, reach.code) == (False, code)
    assert "canary" not in repr(reach) + str(reach.to_dict()) + caplog.text


async def test_a_key_that_no_header_can_hold_is_the_configurations_fault(prober: HealthProber) -> None:
    async with FakeProvider() as up:
        odd = replace(at(up, "openai"), headers={"x-odd": "a\nb"})
        reach = await prober.look(odd, SOON)
        assert (reach.answered, reach.code, up.requests) == (None, "CFG012", ())


async def test_no_look_costs_money_unless_that_is_allowed(prober: HealthProber) -> None:
    async with FakeProvider("Yes.", RawReply(End.RESET), then="Yes.") as up:
        config = at(up, "perplexity", path="")
        assert await prober.look(config, SOON) == Reach()
        assert up.stats.requests == 0
        paid = await prober.look(config, replace(SOON, paid_probe=True))
        assert (paid.answered, paid.asked) == (True, "one token of m")
        (request,) = up.requests
        body = request.json
        assert isinstance(body, Mapping)
        assert body["max_tokens"] == 1
        broken = await prober.look(config, replace(SOON, paid_probe=True))
        assert (broken.answered, broken.code, broken.asked) == (False, "NET003", "one token of m")
        # Where something cheaper exists, permission is not used.
        await prober.look(at(up, "openai"), replace(SOON, paid_probe=True))
        assert up.requests[-1].method == "GET"


async def test_what_has_no_network_is_asked_nothing(prober: HealthProber) -> None:
    assert await prober.look(LLMConfig(type="rule", model="m")) == Reach(answered=True)
    assert await prober.look(LLMConfig(type="voyage", model="m", keys=(Secret("k"),))) == Reach()
    assert await prober.look(LLMConfig(type="local", model="m")) == Reach()
    assert await prober.look(LLMConfig(type="of a host's own factory", model="m")) == Reach()
    assert await prober.look(LLMConfig(type="openai", model="m", replay="recordings")) == Reach()


async def test_types_of_other_packages_are_looked_at_by_their_dialect(pool: ConnectionPool) -> None:
    rows = {**PROVIDERS, "acme": ProviderType(name="acme", path="/v1")}
    clock = SystemClock()
    prober = HealthProber(pool, clock, ClientFactory(pool, clock, rows), rows)
    async with FakeProvider(HttpReply(body={"data": [{"id": "m"}]})) as up:
        reach = await prober.look(at(up, "acme"), SOON)
    assert (reach.answered, reach.models) == (True, ("m",))


def test_every_type_can_be_looked_at_or_has_nothing_that_is_free() -> None:
    blind = {name for name, row in PROVIDERS.items() if not look_of(name, row.dialect) and row.client is None}
    # Type custom has whatever its dialect has.
    assert blind == {"azure_ai", "vertex", "bedrock", "perplexity", "local", "custom"}
    assert LOOKS.keys() <= PROVIDERS.keys()


async def test_a_task_that_hangs_in_a_look_shows_no_key_in_its_locals(prober: HealthProber) -> None:
    async with FakeProvider(RawReply(30.0)) as up:
        look = asyncio.create_task(prober.look(at(up, "openai"), HealthPolicy(timeout_s=0.3)))
        await up.until(lambda stats: stats.requests == 1)
        coroutine: object = look.get_coro()
        shown = []
        while isinstance(coroutine, CoroutineType) and coroutine.cr_frame is not None:
            shown.append(repr(coroutine.cr_frame.f_locals))
            coroutine = coroutine.cr_await
        assert len(shown) > 3
        assert "canary" not in "".join(shown)
        assert (await look).code == "TIM004"
