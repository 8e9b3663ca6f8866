"""Models in the clouds of Microsoft, Google and Amazon."""

from __future__ import annotations

from dataclasses import replace

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.infrastructure.providers.gemini.quirks import GeminiQuirks
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.openai_responses.quirks import AZURE_RESPONSES
from loomwire.infrastructure.providers.rows.kinds import Also, ProviderType

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

CLOUDS: tuple[ProviderType, ...] = (
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
)
"""Rows of the provider table."""
