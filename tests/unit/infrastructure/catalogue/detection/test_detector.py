"""The detector over real sockets: with the provider's key and within its time, and every failure is a result."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest
from typing_extensions import override

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError
from loomwire.domain.policies import DetectionPolicy
from loomwire.domain.values import JSON
from loomwire.infrastructure.catalogue.detected import DetectedFacts, Listed
from loomwire.infrastructure.catalogue.detection.detector import CapabilityDetector, Detection
from loomwire.infrastructure.catalogue.registry import ModelRegistry
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.rows.kinds import ProviderType
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import End, FakeProvider, HttpReply, RawReply
from loomwire.testing.speakers.table import speaker_of

KEY = "sk-the-key-of-the-test"


@pytest.fixture
async def pool() -> AsyncIterator[ConnectionPool]:
    """A pool of real connections."""
    pool = ConnectionPool(clock=SystemClock())
    yield pool
    await pool.aclose()


@pytest.fixture
def models() -> ModelRegistry:
    """A registry that knows nothing yet that a provider said."""
    return ModelRegistry()


@pytest.fixture
def detector(pool: ConnectionPool, models: ModelRegistry) -> CapabilityDetector:
    """A detector whose answers the registry sees."""
    clock = SystemClock()
    return CapabilityDetector(pool, clock, ClientFactory(pool, clock, models=models), models.detected)


def at(provider: FakeProvider, type_: str, model: str = "m", path: str = "", **more: str) -> LLMConfig:
    """Return a model of a type, at the fake provider."""
    base_url = provider.base_url.removesuffix("/v1") + path
    return LLMConfig.of(type_, model, base_url=base_url, api_key=KEY, allow_private=True, name=more.get("name", type_))


def listing(dialect: str, path: str, *names: str) -> HttpReply:
    """Return the list of models as the speaker of a dialect words it."""
    reply = speaker_of(dialect).listing(path, names)
    assert reply is not None
    return reply


async def one(
    detector: CapabilityDetector, config: LLMConfig, policy: DetectionPolicy = DetectionPolicy()
) -> Detection:
    """Ask the provider of one model."""
    (found,) = await detector.detect([config], policy)
    return found


LISTS = {
    "openai": ("/v1", "openai_chat", "/v1/models", "GET /v1/models", "authorization"),
    "mistral": ("/v1", "openai_chat", "/v1/models", "GET /v1/models", "authorization"),
    "xai": ("/v1", "openai_responses", "/v1/models", "GET /v1/models", "authorization"),
    "anthropic": ("/v1", "anthropic", "/v1/models", "GET /v1/models", "x-api-key"),
    "gemini": ("/v1beta", "gemini", "/v1beta/models", "GET /v1beta/models", "x-goog-api-key"),
    "cohere": ("/v2", "cohere", "/v1/models", "GET /v1/models", "authorization"),
    "vllm": ("/v1", "openai_chat", "/v1/models", "GET /v1/models", "authorization"),
    "custom": ("/v1", "openai_chat", "/v1/models", "GET /v1/models", "authorization"),
}


@pytest.mark.parametrize("type_", LISTS)
async def test_every_kind_of_provider_is_asked_in_its_own_way(type_: str, detector: CapabilityDetector) -> None:
    base, dialect, path, by, header = LISTS[type_]
    async with FakeProvider(listing(dialect, path, "first", "m")) as provider:
        config = at(provider, type_, path=base)
        if type_ == "custom":
            config = LLMConfig.custom("m", base_url=config.base_url or "", api_key=KEY, allow_private=True)
        found = await one(detector, config)
        (request,) = provider.requests
    assert (found.error, found.by, found.news) == (None, by, True)
    assert [listed.id.removeprefix("models/") for listed in found.models] == ["first", "m"]
    assert (request.method, request.path.partition("?")[0]) == ("GET", path)
    assert KEY in request.headers[header]


async def test_what_was_found_is_known_at_once_and_only_there(
    detector: CapabilityDetector, models: ModelRegistry
) -> None:
    async with FakeProvider(HttpReply(body={"data": [{"id": "m", "max_model_len": 4096}]})) as provider:
        config = at(provider, "vllm", path="/v1")
        await detector.detect([config])
    assert models.facts(config).capabilities.context_window == 4096
    assert not models.facts(LLMConfig.vllm("m", base_url="http://127.0.0.1:1/v1", allow_private=True)).known


async def test_pages_are_followed_to_their_end(detector: CapabilityDetector) -> None:
    pages = [
        HttpReply(body={"data": [{"id": "a"}], "has_more": True, "last_id": "a&b"}),
        HttpReply(body={"data": [{"id": "m"}], "has_more": False, "last_id": "m"}),
    ]
    async with FakeProvider(*pages) as provider:
        found = await one(detector, at(provider, "anthropic", path="/v1"))
        paths = [request.path for request in provider.requests]
    assert [listed.id for listed in found.models] == ["a", "m"]
    assert paths == ["/v1/models?limit=1000", "/v1/models?limit=1000&after_id=a%26b"]


async def test_pages_that_never_end_are_left_alone(detector: CapabilityDetector) -> None:
    endless = [HttpReply(body={"models": [{"name": f"models/{n}"}], "nextPageToken": f"{n}"}) for n in range(25)]
    async with FakeProvider(*endless) as provider:
        found = await one(detector, at(provider, "gemini", path="/v1beta"))
        assert len(provider.requests) == 20
    assert found.error is None


async def test_a_page_that_leads_back_to_itself_is_asked_for_once(detector: CapabilityDetector) -> None:
    again = HttpReply(body={"data": [{"id": "m"}], "has_more": True, "last_id": "m"})
    async with FakeProvider(*[again] * 3) as provider:
        found = await one(detector, at(provider, "anthropic", path="/v1"))
        assert len(provider.requests) == 2
    assert found.error is None


@pytest.mark.parametrize("type_", ["llamacpp", "ollama", "openai", "gemini", "lm_studio"])
async def test_an_error_that_comes_as_a_good_answer_takes_nothing_away(
    type_: str, detector: CapabilityDetector, models: ModelRegistry
) -> None:
    async with FakeProvider(*[HttpReply(body={"error": {"message": "come back later"}})] * 2) as provider:
        config = at(provider, type_, path="/v1")
        before = [Listed(id="m", capabilities=ModelCapabilities(context_window=7))]
        models.detected.learn((type_, config.base_url or ""), "GET /v1/models", before)
        found = await one(detector, config)
    assert found.error is not None
    known = models.facts(config).capabilities
    assert (known.context_window, known.supports_json_schema) == (7, None)


async def test_ollama_is_asked_for_each_configured_model(detector: CapabilityDetector, models: ModelRegistry) -> None:
    shown: JSON = {"capabilities": ["completion", "tools"], "model_info": {"llama.context_length": 8192}}
    tags = listing("ollama", "/api/tags", "llama3.2:latest", "other:1b")
    async with FakeProvider(tags, HttpReply(body=shown)) as provider:
        config = at(provider, "ollama", "llama3.2")
        found = await one(detector, config)
        paths = [request.path for request in provider.requests]
        asked = json.loads(provider.requests[-1].body)
    assert (paths, asked) == (["/api/tags", "/api/show"], {"model": "llama3.2"})
    assert found.by == "POST /api/show"
    known = models.facts(config).capabilities
    assert (known.supports_tools, known.supports_vision, known.context_window) == (True, False, 8192)


@pytest.mark.parametrize("status", [404, 200])
async def test_lm_studio_of_before_its_own_list_is_asked_as_openai_is(
    status: int, detector: CapabilityDetector
) -> None:
    unexpected = HttpReply(status, body={"error": "Unexpected endpoint or method. (GET /api/v0/models)"})
    async with FakeProvider(unexpected, listing("openai_chat", "/v1/models", "m")) as provider:
        found = await one(detector, at(provider, "lm_studio", path="/v1"))
        paths = [request.path for request in provider.requests]
    assert paths == ["/api/v0/models", "/v1/models"]
    assert ([listed.id for listed in found.models], found.by) == (["m"], "GET /v1/models")


async def test_llama_cpp_is_asked_for_its_props(detector: CapabilityDetector, models: ModelRegistry) -> None:
    props: JSON = {"default_generation_settings": {"n_ctx": 2048}, "chat_template_caps": {"supports_tools": False}}
    async with FakeProvider(HttpReply(body=props)) as provider:
        config = at(provider, "llamacpp", "any-name", path="/v1")
        await detector.detect([config])
        assert provider.requests[0].path == "/props"
    known = models.facts(config).capabilities
    assert (known.supports_tools, known.context_window, known.supports_json_schema) == (False, 2048, True)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (HttpReply(401, body={"error": {"message": "no", "code": "invalid_api_key"}}), "credentials"),
        (HttpReply(404, body={"error": {"message": "no"}}), "model"),
        (HttpReply(302, body="", headers={"location": "http://127.0.0.1:1/"}), "redirect"),
        (HttpReply(body="<html>a page</html>", headers={"content-type": "text/html"}), "protocol"),
        (HttpReply(body="no JSON"), "protocol"),
        (RawReply(b"", End.CLOSE), "eof"),
    ],
)
async def test_a_provider_that_fails_is_a_result_and_no_exception(
    reply: HttpReply | RawReply, reason: str, detector: CapabilityDetector, models: ModelRegistry
) -> None:
    async with FakeProvider(reply) as provider:
        config = at(provider, "openai", path="/v1")
        found = await one(detector, config)
    assert found.error is not None
    assert (found.error.reason, found.error.provider, found.models) == (reason, "openai", ())
    assert KEY not in repr(found) + str(found.error.to_dict())
    assert models.detected.age_s(("openai", config.base_url or "")) is None


async def test_a_provider_that_hangs_is_given_up_in_time(detector: CapabilityDetector) -> None:
    async with FakeProvider(RawReply(10.0)) as provider:
        found = await one(detector, at(provider, "openai", path="/v1"), DetectionPolicy(timeout_s=0.05))
    assert found.error is not None
    assert found.error.reason == "attempt"


async def test_each_provider_is_asked_once_and_those_that_cannot_be_are_left_out(detector: CapabilityDetector) -> None:
    async with FakeProvider(then=listing("openai_chat", "/v1/models", "m")) as provider:
        models = [
            at(provider, "openai", "a", "/v1"),
            at(provider, "openai", "b", "/v1"),
            at(provider, "vllm", "c", "/v1"),
            at(provider, "vertex", "d", "/v1"),
            LLMConfig(type="mock", model="e"),
            LLMConfig(type="martian", model="g", dialect="openai_chat"),
            LLMConfig.of("groq", "f", replay="recordings"),
        ]
        found = await detector.detect(models)
        assert len(provider.requests) == 2
    assert [each.provider for each in found] == ["openai", "vllm"]


async def test_only_answers_that_are_too_old_are_asked_for_again(pool: ConnectionPool) -> None:
    time, clock = [0.0], SystemClock()
    detector = CapabilityDetector(pool, clock, ClientFactory(pool, clock), DetectedFacts(now=lambda: time[0]))
    policy = DetectionPolicy(max_age_s=60.0)
    async with FakeProvider(then=listing("openai_chat", "/v1/models", "m")) as provider:
        config = at(provider, "openai", path="/v1")
        assert len(await detector.detect([config], policy, stale_only=True)) == 1
        assert await detector.detect([config], policy, stale_only=True) == ()
        time[0] = 61.0
        (again,) = await detector.detect([config], policy, stale_only=True)
    assert not again.news


async def test_a_provider_without_its_key_says_so_as_a_result(detector: CapabilityDetector) -> None:
    config = LLMConfig(type="openai", model="m")
    (found,) = await detector.detect([config], stale_only=True)
    assert found.error is not None
    assert "needs an API key" in str(found.error)


async def test_an_ollama_model_that_is_not_there_says_nothing_of_the_others(detector: CapabilityDetector) -> None:
    missing = HttpReply(404, body={"error": "model 'a' not found"})
    shown = HttpReply(body={"capabilities": ["tools"]})
    async with FakeProvider(listing("ollama", "/api/tags", "b"), missing, shown) as provider:
        (found,) = await detector.detect([at(provider, "ollama", "a"), at(provider, "ollama", "b")])
    assert found.error is None
    assert [(each.id, each.capabilities.supports_tools) for each in found.models] == [("b", True)]


async def test_providers_of_one_ollama_server_take_nothing_from_each_other(
    detector: CapabilityDetector, models: ModelRegistry
) -> None:
    tags, shown = listing("ollama", "/api/tags", "a", "b"), HttpReply(body={"capabilities": ["tools"]})
    async with FakeProvider(*(tags, shown) * 3) as provider:
        one_of, other = at(provider, "ollama", "a", name="one"), at(provider, "ollama", "b", name="two")
        for asked in ([one_of], [other], [one_of]):
            await detector.detect(asked)
    assert models.facts(one_of).capabilities.supports_tools is True
    assert models.facts(other).capabilities.supports_tools is True


async def test_an_ollama_server_that_breaks_in_between_is_an_error(detector: CapabilityDetector) -> None:
    broken = HttpReply(500, body={"error": "out of memory"})
    async with FakeProvider(listing("ollama", "/api/tags", "m"), broken) as provider:
        found = await one(detector, at(provider, "ollama"))
    assert found.error is not None
    assert found.models == ()


async def test_a_type_of_a_package_that_is_broken_is_left_out(pool: ConnectionPool) -> None:
    class Broken(Mapping[str, ProviderType]):
        """Rows of a package that cannot be imported."""

        @override
        def __getitem__(self, name: str) -> ProviderType:
            raise ConfigError(f"{name} is broken", hint="Mend it.")

        @override
        def __iter__(self) -> Iterator[str]:
            return iter(("broken",))

        @override
        def __len__(self) -> int:
            return 1

    clock = SystemClock()
    detector = CapabilityDetector(pool, clock, ClientFactory(pool, clock), DetectedFacts(), providers=Broken())
    assert await detector.detect([LLMConfig(type="broken", model="m")]) == ()
