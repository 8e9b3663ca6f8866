"""What the quick constructors of `LLMConfig` take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.policies import BreakerPolicy, RatePolicy, RetryPolicy
from loomwire.domain.pricing import Prices
from loomwire.domain.values import JSON, Secret


class LLMSettings(TypedDict, total=False):
    """What every quick constructor of `LLMConfig` takes besides the model.

    Attributes:
        name: The provider's name in answers and books; its type unless given.
        api_key: The key as text or `Secret`.
        base_url: Where the API stands.
        dialect: The wire dialect, where the type speaks several.
        api_version: The version of the API, for vendors that want one said.
        temperature: 0 to 2.
        top_p: 0 to 1.
        max_tokens: Upper bound of output tokens.
        frequency_penalty: -2 to 2.
        presence_penalty: -2 to 2.
        timeout_s: Seconds for one attempt.
        retry: When it is asked again.
        breaker: When it is left alone.
        rate: How fast it may be asked.
        headers: Further headers of every request.
        extra: Vendor fields of every request body.
        capabilities: What the model can do.
        emulate_tools: Describe tools in the prompt where the model has none.
        prices: What it costs.
        free: It costs nothing.
        allow_private: The address may be private or loopback.
        replay: Folder of recordings that answer instead of the provider.
    """

    name: str
    api_key: str | Secret
    base_url: str
    dialect: str
    api_version: str
    temperature: float
    top_p: float
    max_tokens: int
    frequency_penalty: float
    presence_penalty: float
    timeout_s: float
    retry: RetryPolicy
    breaker: BreakerPolicy
    rate: RatePolicy
    headers: Mapping[str, str]
    extra: Mapping[str, JSON]
    capabilities: ModelCapabilities
    emulate_tools: bool
    prices: Prices
    free: bool
    allow_private: bool
    replay: str
