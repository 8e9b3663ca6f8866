"""Servers of your own, and servers that nobody here knows."""

from __future__ import annotations

from loomwire.infrastructure.providers.anthropic.quirks import LOCAL_MESSAGES
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.openai_responses.quirks import (
    LLAMACPP_RESPONSES,
    LM_STUDIO_RESPONSES,
    VLLM_RESPONSES,
    ResponsesQuirks,
)
from loomwire.infrastructure.providers.rows.kinds import Also, ProviderType

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


SERVERS: tuple[ProviderType, ...] = (
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
)
"""Rows of the provider table."""
