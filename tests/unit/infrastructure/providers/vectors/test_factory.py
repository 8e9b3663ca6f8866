from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, ConfigError, LLMError, LLMTimeoutError, UnknownNameError
from loomwire.domain.ports.embedding import IEmbeddingFactory
from loomwire.domain.requests import Bound
from loomwire.domain.values import Secret
from loomwire.domain.vectors.embeddings import EmbedRequest, RerankRequest
from loomwire.infrastructure.local.engine import Engine, LoadError
from loomwire.infrastructure.local.server import LocalServers
from loomwire.infrastructure.local.settings import LocalSettings
from loomwire.infrastructure.providers.embeddings.columns import EMBED_DIALECTS, EMBEDS, RERANK_DIALECTS, Reranks
from loomwire.infrastructure.providers.vectors.factory import EmbeddingFactory, embed_dialect, rerank_dialect
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FakeProvider, hashed_vector
from support.engines import Pretended

TWO = EmbedRequest.of("a", "b")


def factory(pool: ConnectionPool | None = None, servers: LocalServers | None = None) -> EmbeddingFactory:
    return EmbeddingFactory(pool or ConnectionPool(), SystemClock(), servers=servers)


def config(type_: str, base_url: str | None = None, dialect: str | None = None) -> LLMConfig:
    return LLMConfig(
        type=type_, model="m", dialect=dialect, base_url=base_url, keys=(Secret("key-of-a-test"),), allow_private=True
    )


def served(folder: Path) -> LLMConfig:
    """Return a target over a file that begins as a model does."""
    file = folder / "tiny.gguf"
    file.write_bytes(b"GGUF")
    return LLMConfig(type="local", model="m", options={"model_path": str(file)})


@pytest.mark.parametrize(
    ("type_", "dialect", "base_url", "asked"),
    [
        ("openai", None, None, "https://api.openai.com/v1"),
        ("openai", None, "http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("ollama", None, None, "http://127.0.0.1:11434"),
        ("ollama", "openai_chat", None, "http://127.0.0.1:11434/v1"),
        ("ollama", "openai_chat", "http://127.0.0.1:1", "http://127.0.0.1:1/v1"),
        ("cohere", None, None, "https://api.cohere.com/v2"),
        ("cohere", "openai_chat", None, "https://api.cohere.ai/compatibility/v1"),
        ("gemini", None, None, "https://generativelanguage.googleapis.com/v1beta"),
        ("gemini", "openai_chat", None, "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("voyage", None, "http://127.0.0.1:1", "http://127.0.0.1:1/v1"),
    ],
)
def test_embedding_stands_where_the_vendor_has_it(
    type_: str, dialect: str | None, base_url: str | None, asked: str
) -> None:
    assert factory().places(config(type_, base_url, dialect))[0].base_url == asked
    factory().embedder(config(type_, base_url, dialect))


def test_a_place_is_told_once_and_never_raises() -> None:
    assert len(factory().places(config("voyage"))) == 1
    assert [place.base_url for place in factory().places(config("cohere", None, "openai_chat"))] == [
        "https://api.cohere.ai/compatibility/v1",
        "https://api.cohere.com/v2",
    ]
    for nowhere in ("mock", "local", "azure_openai", "nobody", "anthropic"):
        assert factory().places(config(nowhere)) == ()
    assert factory().places(config("llamacpp"))[0].pool.keepalive == 0


def test_batches_are_of_the_vendors_size() -> None:
    assert factory().batches(config("cohere")).texts == 96
    assert factory().batches(config("cohere", None, "openai_chat")).texts == 96
    assert factory().batches(config("anthropic")) == IEmbeddingFactory.batches(factory(), config("anthropic"))


@pytest.mark.parametrize("type_", ["anthropic", "mock", "groq", "deepseek", "vertex"])
def test_a_type_without_says_which_types_have(type_: str) -> None:
    with pytest.raises(CapabilityError, match=f"type {type_} has no embeddings") as caught:
        factory().embedder(config(type_))
    assert "Types that embed: openai" in caught.value.hint
    with pytest.raises(CapabilityError, match=f"type {type_} cannot rerank"):
        factory().reranker(config(type_))


def test_what_is_missing_is_a_config_error_that_shows_no_key() -> None:
    for bare in ("openai", "voyage", "cohere"):
        with pytest.raises(ConfigError, match="needs an API key"):
            factory().embedder(LLMConfig(type=bare, model="m"))
    with pytest.raises(ConfigError, match="needs a base_url"):
        factory().embedder(config("vllm"))
    with pytest.raises(ConfigError, match="base_url") as caught:
        factory().reranker(config("voyage", "ftp://x"))
    assert "key-of-a-test" not in str(caught.value.to_dict())
    with pytest.raises(UnknownNameError, match="unknown type"):
        factory().embedder(config("nobody"))


def test_leaves_say_what_they_are(tmp_path: Path) -> None:
    assert repr(factory().embedder(config("ollama"))) == "OllamaEmbeddings(ollama/m)"
    assert repr(factory().reranker(config("voyage"))) == "VoyageRerank(voyage/m)"
    replayed = LLMConfig(type="voyage", model="m", replay=str(tmp_path))
    assert repr(factory().embedder(replayed)) == "OpenAIEmbeddings(voyage/m, replay)"
    assert repr(factory().reranker(replayed)) == "VoyageRerank(voyage/m, replay)"


async def test_a_model_of_this_process_is_served_when_it_is_first_asked(tmp_path: Path) -> None:
    started: list[LocalSettings] = []
    pool = ConnectionPool()
    async with FakeProvider() as provider:

        def start(settings: LocalSettings) -> Engine:
            started.append(settings)
            return Pretended(provider.base_url)

        servers = LocalServers(start)
        made = factory(pool, servers)
        local = served(tmp_path)
        embedder, reranker = made.embedder(local), made.reranker(local)
        assert (repr(embedder), repr(reranker)) == ("LocalEmbedder(local/m)", "LocalReranker(local/m)")
        assert started == []
        answer = await embedder.embed(TWO)
        assert list(answer.vectors[0]) == list(hashed_vector("a"))
        assert len((await embedder.embed(TWO)).vectors) == 2
        assert len((await reranker.rerank(RerankRequest.of("a", "a b", "c"))).results) == 2
        assert [settings.serves for settings in started] == ["vectors", "ranks"]
        assert provider.requests[0].headers["authorization"] == "Bearer engine-key"
        with pytest.raises(LLMTimeoutError):
            await embedder.embed(EmbedRequest.of("x", deadline_s=1).with_bound(Bound(0.0)))
        await asyncio.to_thread(servers.close)
        with pytest.raises(LLMError, match="closed"):
            await embedder.embed(TWO)
        await pool.aclose()


async def test_a_model_that_cannot_be_served_says_where(tmp_path: Path) -> None:
    def fails(_: LocalSettings) -> Engine:
        raise LoadError("no memory")

    embedder = factory(servers=LocalServers(fails)).embedder(served(tmp_path))
    with pytest.raises(LLMError, match="no memory") as caught:
        await embedder.embed(TWO)
    assert (caught.value.provider, caught.value.model) == ("local", "m")


def test_a_dialect_of_somebody_elses_is_named_by_its_place() -> None:
    ours = EMBEDS["ollama"]
    assert embed_dialect(replace(ours, dialect=EMBED_DIALECTS["ollama"])).path(config("ollama")) == "/api/embed"
    assert rerank_dialect(Reranks(dialect=RERANK_DIALECTS["voyage"])).path(config("voyage")) == "/rerank"
    with pytest.raises(UnknownNameError, match="there is no dialect 'olama'") as caught:
        embed_dialect(replace(ours, dialect="olama"))
    assert "Did you mean `ollama`?" in caught.value.hint
    with pytest.raises(UnknownNameError, match="there is no dialect"):
        rerank_dialect(Reranks(dialect="nobody"))
