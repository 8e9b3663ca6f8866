"""Listings in a vendor's own shape: Anthropic, Gemini, Cohere, Ollama and llama.cpp (TRAPS 58)."""

from __future__ import annotations

import re
from typing import Final

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.values import JSONObject
from loomwire.infrastructure.catalogue.detected import ANY_MODEL, Listed
from loomwire.infrastructure.catalogue.detection.reading import (
    Page,
    flag,
    has,
    parsed,
    rows,
    saying,
    table,
    text,
    tokens,
    word,
    words,
)

_NUM_CTX: Final = re.compile(r"^num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)
_SEES: Final = ("clip", "mllama")


def anthropic(body: bytes) -> Page:
    """Read Anthropic's listing; `has_more` leads to the next page after `last_id`."""
    said = table(parsed(body))

    def able(row: JSONObject, what: str) -> bool | None:
        """Tell what a model says of one ability."""
        return flag(table(table(row, "capabilities"), what), "supported")

    models = tuple(
        Listed(
            id=word(row, "id"),
            capabilities=ModelCapabilities(
                supports_vision=able(row, "image_input"),
                supports_json_schema=able(row, "structured_outputs"),
                supports_reasoning=able(row, "thinking"),
                context_window=tokens(row, "max_input_tokens"),
                max_tokens=tokens(row, "max_tokens"),
            ),
        )
        for row in rows(said, "data", "id")
        if word(row, "id")
    )
    return Page(models, word(said, "last_id") or None if flag(said, "has_more") else None)


def gemini(body: bytes) -> Page:
    """Read Gemini's listing, whose names begin with `models/`; Google's limit of input is what it calls context."""
    said = table(parsed(body))
    models = tuple(
        Listed(
            id=word(row, "name"),
            aliases=(word(row, "name").removeprefix("models/"),),
            capabilities=ModelCapabilities(
                # A model that does not think says nothing of it.
                supports_reasoning=flag(row, "thinking"),
                supports_streaming=has(words(row, "supportedGenerationMethods"), "generateContent") or None,
                context_window=tokens(row, "inputTokenLimit"),
                max_tokens=tokens(row, "outputTokenLimit"),
            ),
        )
        for row in rows(said, "models", "name")
        if word(row, "name")
    )
    return Page(models, word(said, "nextPageToken") or None)


def cohere(body: bytes) -> Page:
    """Read Cohere's listing, or one model of it."""
    said = table(parsed(body))

    def listed(row: JSONObject) -> Listed:
        """Read one model."""
        features = words(row, "features")
        return Listed(
            id=word(row, "name"),
            capabilities=ModelCapabilities(
                supports_tools=has(features, "tools", "strict_tools"),
                supports_vision=has(features, "vision"),
                supports_json_mode=has(features, "json_mode"),
                supports_json_schema=has(features, "json_schema"),
                supports_reasoning=has(features, "reasoning"),
                context_window=tokens(row, "context_length"),
            ),
        )

    models = tuple(listed(row) for row in rows(said, "models", "name") if word(row, "name"))
    return Page(models, word(said, "next_page_token") or None)


def ollama_tags(body: bytes) -> Page:
    """Read the names of what an Ollama server has; `/api/show` says more of each."""
    said = table(parsed(body))
    found = (word(row, "model", "name") for row in rows(said, "models", "model", "name"))
    return Page(tuple(Listed(id=name, aliases=_untagged(name)) for name in found if name))


def ollama_show(body: bytes, model: str) -> Listed:
    """Read what an Ollama server says of one model.

    The context is the model's own, unless its Modelfile sets `num_ctx`; a server may be started with less.

    Args:
        body: The answer.
        model: The name that was asked for.

    Raises:
        LLMProtocolError: It says nothing of a model.
    """
    said = saying(body, "capabilities", "details", "model_info", "template", "parameters")
    able, details = words(said, "capabilities"), table(said, "details")
    tools, vision, reasoning = has(able, "tools"), has(able, "vision"), has(able, "thinking")
    if able is None:
        # Servers before 0.6.4 have no such list; a template that names tools is what they look for themselves.
        tools = ".Tools" in text(said, "template") or None
        vision = has(words(details, "families"), *_SEES) or "projector_info" in said or None
    info = table(said, "model_info")
    own = next((tokens(info, key) for key in info if key.endswith(".context_length")), None)
    set_to = _NUM_CTX.search(text(said, "parameters"))
    return Listed(
        id=model,
        aliases=_untagged(model),
        capabilities=ModelCapabilities(
            supports_tools=tools,
            supports_vision=vision,
            supports_reasoning=reasoning,
            context_window=int(set_to[1]) or own if set_to else own,
            custom_capabilities={
                key: word(details, key) for key in ("parameter_size", "quantization_level") if key in details
            },
        ),
    )


def llamacpp_props(body: bytes) -> Page:
    """Read what a llama.cpp server says of the one model it has, whatever a request calls it."""
    said = saying(body, "default_generation_settings", "chat_template_caps", "total_slots")
    able, kinds = table(said, "chat_template_caps"), table(said, "modalities")
    one = ModelCapabilities(
        supports_tools=flag(able, "supports_tools"),
        supports_vision=flag(kinds, "vision"),
        supports_system_message=flag(able, "supports_system_role"),
        # Grammars are the server's own and need nothing of the model.
        supports_json_mode=True,
        supports_json_schema=True,
        context_window=tokens(table(said, "default_generation_settings"), "n_ctx") or tokens(said, "n_ctx"),
    )
    return Page((Listed(id=ANY_MODEL, capabilities=one),))


def _untagged(name: str) -> tuple[str, ...]:
    return (name.removesuffix(":latest"),) if name.endswith(":latest") else ()
