"""The provider table: one row per vendor. A vendor that speaks a known dialect needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeAlias

from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.anthropic.quirks import AnthropicQuirks
from loomwire.infrastructure.providers.bedrock.quirks import BedrockQuirks
from loomwire.infrastructure.providers.cohere.quirks import CohereQuirks
from loomwire.infrastructure.providers.embeddings.columns import EMBEDS, RERANKS
from loomwire.infrastructure.providers.gemini.quirks import GeminiQuirks
from loomwire.infrastructure.providers.ollama.quirks import OllamaQuirks
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.openai_responses.quirks import ResponsesQuirks
from loomwire.infrastructure.providers.rows.clouds import CLOUDS
from loomwire.infrastructure.providers.rows.hosted import HOSTED
from loomwire.infrastructure.providers.rows.kinds import DialectType, ProviderType
from loomwire.infrastructure.providers.rows.servers import SERVERS

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

PROVIDERS: Mapping[str, ProviderType] = MappingProxyType(
    {
        row.name: replace(row, embeds=EMBEDS.get(row.name), reranks=RERANKS.get(row.name))
        for row in (*HOSTED, *CLOUDS, *SERVERS)
    }
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
