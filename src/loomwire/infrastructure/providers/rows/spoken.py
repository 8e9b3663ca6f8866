"""Every dialect by name. Data only, but of every dialect: whoever is offline need not import it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from loomwire.infrastructure.providers.anthropic.quirks import AnthropicQuirks
from loomwire.infrastructure.providers.bedrock.quirks import BedrockQuirks
from loomwire.infrastructure.providers.cohere.quirks import CohereQuirks
from loomwire.infrastructure.providers.gemini.quirks import GeminiQuirks
from loomwire.infrastructure.providers.ollama.quirks import OllamaQuirks
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.openai_responses.quirks import ResponsesQuirks
from loomwire.infrastructure.providers.rows.kinds import DialectType

SPOKEN: Mapping[str, DialectType] = MappingProxyType(
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
