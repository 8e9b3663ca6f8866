"""Vendors that sell their own API."""

from __future__ import annotations

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.infrastructure.providers.anthropic.quirks import DEEPSEEK_MESSAGES, ROUTED_MESSAGES, AnthropicQuirks
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.openai_responses.quirks import OPENAI_RESPONSES
from loomwire.infrastructure.providers.rows.kinds import Also, ProviderType


def _hosted(
    name: str,
    base_url: str,
    hint: str,
    quirks: ChatQuirks,
    capabilities: ModelCapabilities = ModelCapabilities(),
    also: tuple[Also, ...] = (),
) -> ProviderType:
    return ProviderType(name=name, base_url=base_url, hint=hint, quirks=quirks, capabilities=capabilities, also=also)


HOSTED: tuple[ProviderType, ...] = (
    _hosted(
        "openai",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        # Reasoning models refuse max_tokens; all know max_completion_tokens (openai-...-empty-text-7f7206).
        ChatQuirks(max_tokens="max_completion_tokens", stop_limit=4, strict_subset=True, limited_call_ids=True),
        ModelCapabilities(supports_json_mode=True),
        (Also(dialect="openai_responses", quirks=OPENAI_RESPONSES),),
    ),
    _hosted(
        "deepseek",
        "https://api.deepseek.com",
        "DEEPSEEK_API_KEY",
        # Thinking must go back while tools are used. Content is a text only; JSON mode knows no schema.
        ChatQuirks(
            content_parts=False, seed=None, strict_tools=False, json_schema=False, reasoning_back="reasoning_content"
        ),
        ModelCapabilities(supports_vision=False, supports_json_mode=True, supports_json_schema=False),
        (
            Also(
                dialect="anthropic",
                base_url="https://api.deepseek.com/anthropic/v1",
                path="/anthropic/v1",
                auth="x-api-key",
                quirks=DEEPSEEK_MESSAGES,
            ),
        ),
    ),
    _hosted(
        "groq",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        # It answers 400 to messages[].name; its strict mode wants what OpenAI's wants (its page of compatibility).
        ChatQuirks(
            max_tokens="max_completion_tokens",
            stop_limit=4,
            speaker_names=False,
            strict_subset=True,
            reasoning_back="reasoning",
        ),
    ),
    _hosted(
        "mistral",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        # It refuses unknown fields with 422 (TRAPS 36); usage comes unasked (mistral-...-stream-finish-length-9a08c8),
        # the seed is random_seed, "must call" is "any" (mistral-...-stream-tool-single-039716).
        ChatQuirks(
            stream_usage=False,
            seed="random_seed",
            speaker_names=False,
            required="any",
            tool_names=True,
            short_call_ids=True,
            reasoning_effort="no",
            reasoning_back="thinking_parts",
        ),
        ModelCapabilities(supports_json_mode=True),
    ),
    _hosted(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        ChatQuirks(reasoning_effort="reasoning.effort", reasoning_back="reasoning_details", cache_points=True),
        also=(Also(dialect="anthropic", quirks=ROUTED_MESSAGES),),
    ),
    _hosted("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY", ChatQuirks(strict_tools=False)),
    _hosted(
        "xai",
        "https://api.x.ai/v1",
        "XAI_API_KEY",
        # Total = prompt + completion + reasoning in 32 of 32 recordings (TRAPS 44).
        ChatQuirks(max_tokens="max_completion_tokens", stop_limit=4, reasoning_beside=True),
        also=(Also(dialect="openai_responses"),),
    ),
    _hosted(
        "perplexity",
        "https://api.perplexity.ai",
        "PERPLEXITY_API_KEY",
        ChatQuirks(seed=None, json_object=False),
        ModelCapabilities(supports_tools=False, supports_json_schema=True),
    ),
    ProviderType(
        name="cohere",
        dialect="cohere",
        base_url="https://api.cohere.com/v2",
        also=(Also(dialect="openai_chat", base_url="https://api.cohere.ai/compatibility/v1"),),
        capabilities=ModelCapabilities(supports_json_mode=True),
        hint="COHERE_API_KEY",
    ),
    ProviderType(
        name="anthropic",
        dialect="anthropic",
        base_url="https://api.anthropic.com/v1",
        path="/v1",
        auth="x-api-key",
        quirks=AnthropicQuirks(signed_thinking=True),
        hint="ANTHROPIC_API_KEY",
    ),
    ProviderType(
        name="voyage",
        dialect=None,
        client="loomwire.infrastructure.providers.vectors.chatless:ChatlessClient",
        base_url="https://api.voyageai.com/v1",
        path="/v1",
        hint="VOYAGE_API_KEY",
    ),
)
"""Rows of the provider table."""
