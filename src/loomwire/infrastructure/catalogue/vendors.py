"""Where the catalogue knows the models of a provider type: one row per type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


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
    """

    file: str = ""
    family: tuple[str, ...] = ()
    named_by_operator: bool = False
    served: bool = False


_OPEN = Vendor(family=("huggingface",), served=True)

VENDORS: Mapping[str, Vendor] = MappingProxyType(
    {
        "openai": Vendor(file="openai"),
        "anthropic": Vendor(file="anthropic"),
        "gemini": Vendor(file="google"),
        "google": Vendor(file="google"),
        "mistral": Vendor(file="mistral"),
        "cohere": Vendor(file="cohere"),
        "deepseek": Vendor(file="deepseek"),
        "xai": Vendor(file="xai"),
        "groq": Vendor(file="groq"),
        "together": Vendor(file="together"),
        "perplexity": Vendor(file="perplexity"),
        "openrouter": Vendor(file="openrouter"),
        "vertex": Vendor(file="vertex", family=("google", "anthropic")),
        "bedrock": Vendor(file="bedrock", family=("anthropic",)),
        "azure_openai": Vendor(file="azure", family=("openai",), named_by_operator=True),
        "azure_ai": Vendor(file="azure"),
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
