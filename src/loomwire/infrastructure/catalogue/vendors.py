"""Where the catalogue knows the models of a provider type: one row per type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One row.

    Attributes:
        file: The file of the catalogue that lists the type's own models; "" for none.
        family: Further files whose models it may serve too, under the same names; never for prices.
        named_by_operator: A model is called there what its operator wants, so a name proves nothing: all is family, and
            neither a no nor a limit of it may refuse a call.
        served: Whoever runs the server also chooses its models and their names, most often those of a hub: all is
            family, and how long input and output may be is the server's to say.
        hosts: A pattern of the hosts where the vendor itself sells its models; the prices of the file are of these. One
            that sells elsewhere, such as a proxy, a reseller or a server of one's own, sets prices of its own.
    """

    file: str = ""
    family: tuple[str, ...] = ()
    named_by_operator: bool = False
    served: bool = False
    hosts: str = ""

    def sells_at(self, base_url: str | None) -> bool:
        """Tell whether the file's prices are those of a base URL; None is where the vendor's row leads."""
        if base_url is None:
            return True
        return re.fullmatch(self.hosts, (urlsplit(base_url).hostname or "").rstrip(".")) is not None


_OPEN = Vendor(family=("huggingface",), served=True)

VENDORS: Mapping[str, Vendor] = MappingProxyType(
    {
        "openai": Vendor(file="openai", hosts=r"api\.openai\.com"),
        "anthropic": Vendor(file="anthropic", hosts=r"api\.anthropic\.com"),
        "gemini": Vendor(file="google", hosts=r"generativelanguage\.googleapis\.com"),
        "google": Vendor(file="google", hosts=r"generativelanguage\.googleapis\.com"),
        "mistral": Vendor(file="mistral", hosts=r"api\.mistral\.ai"),
        "cohere": Vendor(file="cohere", hosts=r"api\.cohere\.(?:com|ai)"),
        "deepseek": Vendor(file="deepseek", hosts=r"api\.deepseek\.com"),
        "xai": Vendor(file="xai", hosts=r"api\.x\.ai"),
        "groq": Vendor(file="groq", hosts=r"api\.groq\.com"),
        "together": Vendor(file="together", hosts=r"api\.together\.(?:xyz|ai)"),
        "perplexity": Vendor(file="perplexity", hosts=r"api\.perplexity\.ai"),
        "openrouter": Vendor(file="openrouter", hosts=r"openrouter\.ai"),
        "vertex": Vendor(
            file="vertex", family=("google", "anthropic"), hosts=r"(?:[a-z0-9-]+-)?aiplatform\.googleapis\.com"
        ),
        "bedrock": Vendor(
            file="bedrock", family=("anthropic",), hosts=r"bedrock-runtime(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com"
        ),
        "azure_openai": Vendor(file="azure", family=("openai",), named_by_operator=True),
        "azure_ai": Vendor(file="azure", hosts=r"[a-z0-9-]+\.(?:services\.ai|openai|cognitiveservices)\.azure\.com"),
        # The same names in its cloud and on a machine of your own, where only the server knows its context.
        "ollama": Vendor(file="ollama", served=True),
        "vllm": _OPEN,
        "lm_studio": _OPEN,
        "llamacpp": _OPEN,
        "local": _OPEN,
    }
)
"""Every provider type whose models somebody lists. A type that is absent, such as `custom`, may serve anything."""

# Names that OpenRouter puts before a model, and our file of that vendor.
OWNERS: Mapping[str, str] = MappingProxyType(
    {"openai": "openai", "anthropic": "anthropic", "google": "google", "mistralai": "mistral", "cohere": "cohere"}
    | {"deepseek": "deepseek", "x-ai": "xai", "perplexity": "perplexity"}
)
"""Names that stand before a model of another vendor, as in `openai/gpt-4o`, and the file that lists it."""
