"""Which vendors embed and rerank, and how: columns of the provider table. Data only, read without the dialects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from loomwire.domain.ports.embedding import BatchPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a vendor's servers embed or rerank, if not where they chat.

    Attributes:
        base_url: Where it stands; None for the row's.
        path: What is added to a configured base URL that has no path; None for the row's.
    """

    base_url: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeds:
    """How a vendor embeds.

    Attributes:
        dialect: A name of `EMBED_DIALECTS`, or `module:Class` of somebody else's, built with this column.
        place: Where.
        batch: What it takes at once.
        base64: It may be asked for base64, a third of the bytes of numbers as text.
        dimensions: Its field for the size of vectors; None when it has none.
        purposes: Its words for query and document, with its field for them; None when it has none.
        errors_on_cut: The field and value that make a too long text an error, where it would silently be cut.
        deployments: The model is a deployment of Azure.
    """

    dialect: str = "openai"
    place: Place = Place()
    batch: BatchPolicy = BatchPolicy()
    base64: bool = False
    dimensions: str | None = "dimensions"
    purposes: tuple[str, str, str] | None = None
    errors_on_cut: tuple[str, bool | str] | None = None
    deployments: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranks:
    """How a vendor reranks.

    Attributes:
        dialect: A name of `RERANK_DIALECTS`, or `module:Class` of somebody else's, built with nothing.
        place: Where.
    """

    dialect: str = "cohere"
    place: Place = Place()


EMBED_DIALECTS: Mapping[str, str] = MappingProxyType(
    {
        "openai": "loomwire.infrastructure.providers.embeddings.openai:OpenAIEmbeddings",
        "gemini": "loomwire.infrastructure.providers.embeddings.gemini:GeminiEmbeddings",
        "cohere": "loomwire.infrastructure.providers.embeddings.cohere:CohereEmbeddings",
        "ollama": "loomwire.infrastructure.providers.embeddings.ollama:OllamaEmbeddings",
    }
)
RERANK_DIALECTS: Mapping[str, str] = MappingProxyType(
    {
        "cohere": "loomwire.infrastructure.providers.rerank.cohere:CohereRerank",
        "voyage": "loomwire.infrastructure.providers.rerank.voyage:VoyageRerank",
    }
)

# Batches are smaller than vendors allow where reading their vectors would stop the loop for more than some 20 ms.
# OpenAI takes 2,048 texts, and 300,000 tokens of all together; a token can be a character.
_OPENAI = BatchPolicy(texts=256, characters=300_000)
_COHERE = Place(base_url="https://api.cohere.com/v2", path="/v2")
_SERVED = BatchPolicy(texts=64, characters=100_000, at_once=2)
_GEMINI = Embeds(
    dialect="gemini",
    place=Place(base_url="https://generativelanguage.googleapis.com/v1beta", path="/v1beta"),
    batch=BatchPolicy(texts=100, characters=200_000),
    dimensions="outputDimensionality",
    purposes=("taskType", "RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT"),
)
_LLAMACPP = Embeds(batch=_SERVED, dimensions=None)

OVER_OPENAI = Embeds(batch=BatchPolicy(texts=32, characters=100_000))
"""A server of which only the dialect is known."""

EMBEDS: Mapping[str, Embeds] = MappingProxyType(
    {
        "openai": Embeds(batch=_OPENAI, base64=True),
        "azure_openai": Embeds(batch=_OPENAI, base64=True, deployments=True),
        "gemini": _GEMINI,
        "google": _GEMINI,
        "cohere": Embeds(
            dialect="cohere",
            place=_COHERE,
            batch=BatchPolicy(texts=96),
            dimensions="output_dimension",
            purposes=("input_type", "search_query", "search_document"),
            errors_on_cut=("truncate", "NONE"),
        ),
        "ollama": Embeds(dialect="ollama", place=Place(path=""), batch=_SERVED, errors_on_cut=("truncate", False)),
        "voyage": Embeds(
            batch=BatchPolicy(texts=256, characters=120_000),
            base64=True,
            dimensions="output_dimension",
            purposes=("input_type", "query", "document"),
            errors_on_cut=("truncation", False),
        ),
        # 257 texts are refused (mistral-embeddings-error-400-4a28fd), and so are more than 16,384 tokens.
        "mistral": Embeds(batch=BatchPolicy(texts=128, characters=16_000), dimensions="output_dimension"),
        # No base64: some versions put doubles into it (vllm-embeddings-embed-single-6aa353 holds 4,096 of them).
        "vllm": Embeds(batch=BatchPolicy(texts=64, characters=200_000)),
        "llamacpp": _LLAMACPP,
        "local": _LLAMACPP,
        "lm_studio": Embeds(batch=_SERVED, dimensions=None),
        # As many as the smallest of those behind it takes.
        "openrouter": Embeds(batch=BatchPolicy(texts=96, characters=100_000)),
        "together": Embeds(batch=BatchPolicy(texts=96, characters=100_000), dimensions=None),
        "custom": OVER_OPENAI,
    }
)
"""The provider types that embed."""

RERANKS: Mapping[str, Reranks] = MappingProxyType(
    {
        "cohere": Reranks(place=_COHERE),
        "voyage": Reranks(dialect="voyage"),
        "openrouter": Reranks(),
        "llamacpp": Reranks(),
        # vLLM's page names /v1/rerank, worded as Cohere's.
        "vllm": Reranks(),
        "local": Reranks(),
        "custom": Reranks(),
    }
)
"""The provider types that rerank."""
