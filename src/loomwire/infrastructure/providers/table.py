"""The provider table: one row per vendor. A vendor that speaks a known dialect needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeAlias

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.anthropic.quirks import (
    DEEPSEEK_MESSAGES,
    LOCAL_MESSAGES,
    ROUTED_MESSAGES,
    AnthropicQuirks,
)
from loomwire.infrastructure.providers.bedrock.quirks import BedrockQuirks
from loomwire.infrastructure.providers.cohere.quirks import CohereQuirks
from loomwire.infrastructure.providers.embeddings.columns import EMBEDS, RERANKS
from loomwire.infrastructure.providers.gemini.quirks import GeminiQuirks
from loomwire.infrastructure.providers.ollama.quirks import OllamaQuirks
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.openai_responses.quirks import (
    AZURE_RESPONSES,
    LLAMACPP_RESPONSES,
    LM_STUDIO_RESPONSES,
    OPENAI_RESPONSES,
    VLLM_RESPONSES,
    ResponsesQuirks,
)
from loomwire.infrastructure.providers.rows.kinds import Also, DialectType, ProviderType

DIALECTS: Mapping[str, DialectType] = MappingProxyType(
    {
        "openai_chat": DialectType(
            "loomwire.infrastructure.providers.openai_chat.chat:OpenAIChat",
            "loomwire.testing.speakers.openai_chat:ChatSpeaker",
            ChatQuirks(),
        ),
        "openai_responses": DialectType(
            "loomwire.infrastructure.providers.openai_responses.responses:OpenAIResponses",
            "loomwire.testing.speakers.openai_responses:ResponsesSpeaker",
            ResponsesQuirks(),
        ),
        "anthropic": DialectType(
            "loomwire.infrastructure.providers.anthropic.messages:AnthropicMessages",
            "loomwire.testing.speakers.anthropic.speaker:MessagesSpeaker",
            AnthropicQuirks(),
        ),
        "cohere": DialectType(
            "loomwire.infrastructure.providers.cohere.chat:CohereChat",
            "loomwire.testing.speakers.cohere.speaker:CohereSpeaker",
            CohereQuirks(),
        ),
        "gemini": DialectType(
            "loomwire.infrastructure.providers.gemini.gemini:Gemini",
            "loomwire.testing.speakers.gemini.speaker:GeminiSpeaker",
            GeminiQuirks(),
        ),
        "ollama": DialectType(
            "loomwire.infrastructure.providers.ollama.chat:OllamaChat",
            "loomwire.testing.speakers.ollama.speaker:OllamaSpeaker",
            OllamaQuirks(),
        ),
        "bedrock": DialectType(
            "loomwire.infrastructure.providers.bedrock.converse:BedrockConverse",
            "loomwire.testing.speakers.bedrock.speaker:ConverseSpeaker",
            BedrockQuirks(),
        ),
    }
)

OptionCheck: TypeAlias = Callable[[JSON], Iterable[tuple[tuple[str | int, ...], str]]]
"""Says what is wrong with a provider's option: the way into the value, and a sentence; nothing when it is right."""


_LOCAL_MESSAGES = Also(dialect="anthropic", path="/v1", quirks=LOCAL_MESSAGES)


def _local(
    name: str,
    quirks: ChatQuirks,
    responses: ResponsesQuirks,
    base_url: str | None,
    hint: str,
    *,
    keepalive: bool = True,
) -> ProviderType:
    return ProviderType(
        name=name,
        also=(_LOCAL_MESSAGES, Also(dialect="openai_responses", path="/v1", quirks=responses)),
        base_url=base_url,
        path="/v1",
        needs_key=False,
        private=base_url is not None,
        keepalive=keepalive,
        quirks=quirks,
        hint=hint,
    )


def _hosted(
    name: str,
    base_url: str,
    hint: str,
    quirks: ChatQuirks,
    capabilities: ModelCapabilities = ModelCapabilities(),
    also: tuple[Also, ...] = (),
) -> ProviderType:
    return ProviderType(name=name, base_url=base_url, hint=hint, quirks=quirks, capabilities=capabilities, also=also)


def _offline(name: str, client: str) -> ProviderType:
    return ProviderType(name=name, dialect=None, client=client, auth="none", needs_key=False, free=True)


_GEMINI = ProviderType(
    name="gemini",
    dialect="gemini",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    path="/v1beta",
    auth="x-goog-api-key",
    also=(
        Also(
            dialect="openai_chat",
            base_url="https://generativelanguage.googleapis.com/v1beta/openai",
            path="/v1beta/openai",
            auth="bearer",
            # The signature in extra_content must come back (TRAPS 38).
            quirks=ChatQuirks(call_extras=True),
        ),
    ),
    capabilities=ModelCapabilities(supports_json_mode=True),
    hint="GEMINI_API_KEY",
)

_ROWS: tuple[ProviderType, ...] = (
    _hosted(
        "openai",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        # Reasoning models refuse max_tokens; all know max_completion_tokens (openai-...-empty-text-7f7206).
        ChatQuirks(max_tokens="max_completion_tokens", stop_limit=4, strict_subset=True, limited_call_ids=True),
        ModelCapabilities(supports_json_mode=True),
        (Also(dialect="openai_responses", quirks=OPENAI_RESPONSES),),
    ),
    ProviderType(
        name="azure_openai",
        path="/openai",
        auth="api-key",
        # As OpenAI; streams, too, tell their usage only when asked (TRAPS 42).
        quirks=ChatQuirks(
            deployments=True,
            max_tokens="max_completion_tokens",
            stop_limit=4,
            strict_subset=True,
            limited_call_ids=True,
        ),
        also=(Also(dialect="openai_responses", path="/openai/v1", quirks=AZURE_RESPONSES),),
        capabilities=ModelCapabilities(supports_json_mode=True),
        hint="AZURE_OPENAI_API_KEY",
        example="https://my-resource.openai.azure.com",
    ),
    ProviderType(
        name="azure_ai",
        path="/models",
        auth="api-key",
        # azure-ai-...-error-429-65efad.
        quirks=ChatQuirks(api_version="2024-05-01-preview", pass_through=True),
        hint="AZURE_AI_API_KEY",
        example="https://my-resource.services.ai.azure.com",
    ),
    _local(
        "vllm",
        # `reasoning` since 0.19.1; older servers ignore it (TRAPS 37).
        ChatQuirks(reasoning_back="reasoning"),
        VLLM_RESPONSES,
        None,
        "http://127.0.0.1:8000/v1",
    ),
    _local(
        "lm_studio",
        # It answers 400 to a forced tool in object form and to response_format json_object.
        ChatQuirks(named_tool=False, json_object=False),
        LM_STUDIO_RESPONSES,
        "http://127.0.0.1:1234/v1",
        "http://127.0.0.1:1234/v1",
    ),
    _local(
        "llamacpp",
        # A tool_choice that is no word is silently read as "auto".
        ChatQuirks(named_tool=False, reasoning_back="reasoning_content"),
        LLAMACPP_RESPONSES,
        "http://127.0.0.1:8080/v1",
        "http://127.0.0.1:8080/v1",
        # After a stream it closes the connection, which its headers call alive, and an idle one keeps one of its few
        # threads from others for 5 s (2026.10; tests/llama).
        keepalive=False,
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
    _GEMINI,
    replace(_GEMINI, name="google"),
    ProviderType(
        name="vertex",
        dialect="gemini",
        quirks=GeminiQuirks(models="publishers/google/models", url_types=True),
        also=(Also(dialect="openai_chat", quirks=ChatQuirks(call_extras=True)),),
        capabilities=ModelCapabilities(supports_json_mode=True),
        hint="VERTEX_API_KEY",
        example="https://us-central1-aiplatform.googleapis.com/v1/projects/my-project/locations/us-central1",
    ),
    ProviderType(
        name="bedrock",
        dialect="bedrock",
        base_url="https://bedrock-runtime.{region}.amazonaws.com",
        # The dialect sends a key of Bedrock's own, and signs with an access key.
        auth="none",
        options=("region",),
        hint="AWS_BEARER_TOKEN_BEDROCK",
    ),
    ProviderType(
        name="ollama",
        dialect="ollama",
        base_url="http://127.0.0.1:11434",
        needs_key=False,
        # Not free by itself: the same server hands models of its cloud on.
        private=True,
        # `reasoning` of its chat endpoint is what `thinking` is here (TRAPS 37); a forced tool is ignored there.
        also=(
            Also(dialect="openai_chat", path="/v1", quirks=ChatQuirks(named_tool=False, reasoning_back="reasoning")),
        ),
        hint="http://127.0.0.1:11434",
    ),
    ProviderType(
        name="custom",
        dialect=None,
        needs_key=False,
        # Gemini's chat endpoint needs the signature in extra_content back (TRAPS 38); others ignore it.
        also=(
            Also(dialect="openai_chat", quirks=ChatQuirks(call_extras=True)),
            Also(dialect="anthropic", auth="x-api-key"),
            Also(dialect="gemini", auth="x-goog-api-key"),
            Also(dialect="bedrock", auth="none"),
        ),
        # Of a server of Bedrock's dialect, for what is signed.
        options=("region",),
        hint="https://llm.example.com/v1",
    ),
    ProviderType(
        name="local",
        in_process=True,
        # Where recordings of it say they come from; its own server stands on a port that is free when it starts.
        base_url="http://127.0.0.1:8080/v1",
        needs_key=False,
        free=True,
        private=True,
        keepalive=False,
        # The same engine as type llamacpp.
        quirks=ChatQuirks(named_tool=False, reasoning_back="reasoning_content"),
        also=(_LOCAL_MESSAGES, Also(dialect="openai_responses", path="/v1", quirks=LLAMACPP_RESPONSES)),
    ),
    ProviderType(
        name="voyage",
        dialect=None,
        client="loomwire.infrastructure.providers.vectors.chatless:ChatlessClient",
        base_url="https://api.voyageai.com/v1",
        path="/v1",
        hint="VOYAGE_API_KEY",
    ),
    _offline("mock", "loomwire.infrastructure.providers.mock:MockClient"),
    _offline("rule", "loomwire.infrastructure.providers.rule:RuleClient"),
)

PROVIDERS: Mapping[str, ProviderType] = MappingProxyType(
    {row.name: replace(row, embeds=EMBEDS.get(row.name), reranks=RERANKS.get(row.name)) for row in _ROWS}
)
"""Every provider type by name."""


def option_checks() -> Mapping[str, OptionCheck]:
    """Return the check of every option that an offline provider takes, by the option's name."""
    return {"script": _script_problems, "rules": _rules_problems}


def _script_problems(value: JSON) -> Iterable[tuple[tuple[str | int, ...], str]]:
    from loomwire.infrastructure.providers.offline.scripts import check_script

    return check_script(value)


def _rules_problems(value: JSON) -> Iterable[tuple[tuple[str | int, ...], str]]:
    from loomwire.infrastructure.providers.offline.rule_checks import check_rules

    return check_rules(value)
