"""The words with which servers of the chat dialect tell what is wrong."""

from __future__ import annotations

import re
from typing import Final

from loomwire.infrastructure.providers.wire.errors import ErrorTable

_QUOTA = (
    "insufficient_quota",
    "credit_balance_exhausted",
    "billing_not_active",
    "billing_hard_limit_reached",
    "billing_error",
)
_FILTER = ("content_filter", "content_policy_violation", "cyber_policy", "ResponsibleAIPolicyViolation")
# llama.cpp and Perplexity say it by type (llamacpp-...-9f9843, perplexity-...-a56ea1).
_TOO_LONG = ("context_length_exceeded", "exceed_context_size_error", "too_many_prompt_tokens")

CHAT_ERRORS: Final = ErrorTable(
    codes={
        **dict.fromkeys(_QUOTA, "quota_exhausted"),
        **dict.fromkeys(_FILTER, "content_filter"),
        **dict.fromkeys(("rate_limit_exceeded", "slow_down", "ramp_limit_exceeded"), "throttled"),
        **dict.fromkeys(("server_is_overloaded", "flex_unavailable"), "overloaded"),
        **dict.fromkeys(_TOO_LONG, "context_length"),
        # Mistral says invalid_model with 400 (TRAPS 48).
        **dict.fromkeys(("model_not_found", "DeploymentNotFound", "invalid_model"), "model"),
        # Google's chat endpoint answers 400 to a bad key (TRAPS 47).
        **dict.fromkeys(("invalid_api_key", "API_KEY_INVALID"), "credentials"),
        "unsupported_country_region_territory": "denied",
    },
    endings={"_spend_limit_exceeded": "quota_exhausted", "_usage_limit_exceeded": "quota_exhausted"},
    types={
        **dict.fromkeys(("invalid_request_error", "BadRequestError", "INVALID_ARGUMENT"), "invalid_request"),
        **dict.fromkeys(("authentication_error", "AuthenticationError", "UNAUTHENTICATED"), "credentials"),
        **dict.fromkeys(("permission_error", "PERMISSION_DENIED"), "denied"),
        **dict.fromkeys(("not_found_error", "NotFoundError", "NOT_FOUND"), "model"),
        **dict.fromkeys(("rate_limit_error", "tokens", "requests", "RESOURCE_EXHAUSTED"), "throttled"),
        **dict.fromkeys(("overloaded_error", "service_unavailable", "UNAVAILABLE"), "overloaded"),
        "timeout_error": "gateway",
    },
    context_length=re.compile(
        r"This (?:model|endpoint)'s maximum (?:context|prompt) length is \d"
        r"|You passed \d+ input (?:tokens|characters) and requested \d+ output tokens\. However, the model's context"
        r"|request \(\d+ tokens\) exceeds the available context size"
        r"|the request exceeds the available context size"
        r"|prompt too long; exceeded max context length"
        r"|Prompt contains \d+ tokens.{0,80} too large for model with \d+ maximum context length"
        r"|The total length of all messages is too long"
        r"|Input tokens exceed the configured limit"
        r"|Trying to keep the first \d+ tokens when context the overflows"
        r"|The number of tokens to keep from the initial prompt is greater than the context length"
    ),
    # Vendors that say with 400 and in words only what others say by status or code (TRAPS 47, 48).
    further={
        # xAI (continue#10778, beeai-framework#447).
        "credentials": re.compile(r"Incorrect API key provided[.:] "),
        # DeepSeek (easy-dataset#9), OpenRouter (openrouter-examples#74).
        "model": re.compile(r"Model Not Exist$|\S{1,200} is not a valid model ID$"),
    },
    too_large=re.compile(r"Request too large for |input is too large to process"),
    wait=re.compile(r"(?:^|[.!] )(?:please )?(?:try again|retry) (?:in|after) ", re.IGNORECASE),
)
"""OpenAI and its compatible servers; each word from a recording, a vendor's page or a thread named in TRAPS.md."""
