"""How each provider type is asked for its models: one row per type, and one per dialect for types that have none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from loomwire.infrastructure.catalogue.detection import native, openai_shaped
from loomwire.infrastructure.catalogue.detection.reading import Page

Decoder: TypeAlias = Callable[[bytes], Page]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One way to ask.

    Attributes:
        path: Below the base URL; `{origin}` cuts off the base URL's own `/v1` or `/v2` first.
        decode: Reads the answer.
        after: The query that leads to the next page, before what the answer says; None for one page.
        each: The path that says more of one model, asked for those that are configured.
        otherwise: How to ask a server that does not know the path.
    """

    path: str
    decode: Decoder
    after: str | None = None
    each: str | None = None
    otherwise: Listing | None = None


_NAMES = Listing(path="/models", decode=openai_shaped.ids_only)
_ANTHROPIC = Listing(path="/models?limit=1000", decode=native.anthropic, after="&after_id=")
_GEMINI = Listing(path="/models?pageSize=1000", decode=native.gemini, after="&pageToken=")
_COHERE = Listing(path="{origin}/v1/models?page_size=1000", decode=native.cohere, after="&page_token=")
_OLLAMA = Listing(path="{origin}/api/tags", decode=native.ollama_tags, each="{origin}/api/show")

LISTINGS: Mapping[str, Listing | None] = MappingProxyType(
    {
        "anthropic": _ANTHROPIC,
        "gemini": _GEMINI,
        "google": _GEMINI,
        "cohere": _COHERE,
        "ollama": _OLLAMA,
        "mistral": Listing(path="/models", decode=openai_shaped.mistral),
        "groq": Listing(path="/models", decode=openai_shaped.groq),
        "openrouter": Listing(path="/models", decode=openai_shaped.openrouter),
        "together": Listing(path="/models", decode=openai_shaped.together),
        "vllm": Listing(path="/models", decode=openai_shaped.vllm),
        "lm_studio": Listing(path="{origin}/api/v0/models", decode=openai_shaped.lm_studio, otherwise=_NAMES),
        "llamacpp": Listing(path="{origin}/props", decode=native.llamacpp_props),
        "azure_openai": Listing(path="/v1/models", decode=openai_shaped.ids_only),
        # No listing that a key for its models opens.
        "azure_ai": None,
        "vertex": None,
        "bedrock": None,
        "perplexity": None,
        "local": None,
        "mock": None,
        "rule": None,
    }
)
"""By provider type. None: it has no listing that could be asked."""

BY_DIALECT: Mapping[str, Listing] = MappingProxyType(
    {
        "openai_chat": _NAMES,
        "openai_responses": _NAMES,
        "anthropic": _ANTHROPIC,
        "gemini": _GEMINI,
        "cohere": _COHERE,
        "ollama": _OLLAMA,
    }
)
"""For types without a row, such as `custom`."""


def listing_of(type_: str, dialect: str | None) -> Listing | None:
    """Return how a provider is asked for its models, or None when nobody can.

    Args:
        type_: Its type.
        dialect: What it is configured to speak.
    """
    if type_ in LISTINGS:
        return LISTINGS[type_]
    return BY_DIALECT.get(dialect or "")
