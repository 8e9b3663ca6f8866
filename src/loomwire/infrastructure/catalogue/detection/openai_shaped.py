"""Listings in OpenAI's shape, with what each vendor adds to it (TRAPS 58)."""

from __future__ import annotations

from collections.abc import Callable

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.catalogue.detected import Listed
from loomwire.infrastructure.catalogue.detection.reading import (
    Page,
    flag,
    has,
    parsed,
    per_token,
    rows,
    table,
    tokens,
    word,
    words,
)
from loomwire.infrastructure.catalogue.families import always_searches


def ids_only(body: bytes) -> Page:
    """Read a listing that says names and no more: OpenAI, DeepSeek, xAI."""
    return _page(body, lambda row: Listed(id=_id(row)))


def vllm(body: bytes) -> Page:
    """Read vLLM's listing, which says how long a conversation may be."""
    return _page(body, lambda row: Listed(id=_id(row), capabilities=_known(context=tokens(row, "max_model_len"))))


def mistral(body: bytes) -> Page:
    """Read Mistral's listing."""

    def listed(row: JSONObject) -> Listed:
        """Read one model."""
        able = table(row, "capabilities")
        return Listed(
            id=_id(row),
            aliases=words(row, "aliases") or (),
            capabilities=_known(
                tools=flag(able, "function_calling"),
                vision=flag(able, "vision"),
                reasoning=flag(able, "reasoning"),
                context=tokens(row, "max_context_length"),
            ),
        )

    return _page(body, listed)


def groq(body: bytes) -> Page:
    """Read Groq's listing."""

    def listed(row: JSONObject) -> Listed:
        """Read one model."""
        features, inputs = words(row, "supported_features"), words(row, "input_modalities")
        return Listed(
            id=_id(row),
            capabilities=ModelCapabilities(
                supports_tools=has(features, "tools"),
                supports_vision=has(inputs, "image"),
                supports_json_mode=has(features, "json_mode"),
                supports_json_schema=has(features, "structured_outputs"),
                supports_reasoning=has(features, "reasoning"),
                context_window=tokens(row, "context_window", "context_length"),
                max_tokens=tokens(row, "max_completion_tokens", "max_output_length"),
            ),
            inputs=inputs or (),
            prices=per_token(table(row, "pricing")),
        )

    return _page(body, listed)


def openrouter(body: bytes) -> Page:
    """Read OpenRouter's listing: what some provider behind it can do, and the price of the usual one.

    A price of "0" means that it is free, says its reference of the Models API. What a search costs is beside the
    tokens, so a model that always searches has no price.
    """

    def listed(row: JSONObject) -> Listed:
        """Read one model."""
        taken, inputs = words(row, "supported_parameters"), words(table(row, "architecture"), "input_modalities")
        return Listed(
            id=_id(row),
            capabilities=ModelCapabilities(
                supports_tools=has(taken, "tools"),
                supports_vision=has(inputs, "image"),
                supports_json_mode=has(taken, "response_format"),
                supports_json_schema=has(taken, "structured_outputs"),
                supports_reasoning=has(taken, "reasoning", "include_reasoning"),
                context_window=tokens(row, "context_length"),
                max_tokens=tokens(table(row, "top_provider"), "max_completion_tokens"),
            ),
            inputs=inputs or (),
            prices=None if always_searches(_id(row)) else per_token(table(row, "pricing"), zero_is_free=True),
        )

    return _page(body, listed)


def together(body: bytes) -> Page:
    """Read Together's listing, a bare list."""
    return _page(body, lambda row: Listed(id=_id(row), capabilities=_known(context=tokens(row, "context_length"))))


def lm_studio(body: bytes) -> Page:
    """Read LM Studio's own listing; its OpenAI one says names only and is read too."""

    def listed(row: JSONObject) -> Listed:
        """Read one model."""
        able, kind = words(row, "capabilities"), word(row, "type")
        return Listed(
            id=_id(row),
            capabilities=_known(
                # Without the field the server is too old to say.
                tools=has(able, "tool_use"),
                vision=kind == "vlm" if kind in ("llm", "vlm") else None,
                context=tokens(row, "loaded_context_length", "max_context_length"),
            ),
        )

    return _page(body, listed)


def _page(body: bytes, listed: Callable[[JSONObject], Listed]) -> Page:
    said: JSON = parsed(body)
    return Page(tuple(listed(row) for row in rows(said, "data", "id") if _id(row)))


def _id(row: JSONObject) -> str:
    return word(row, "id")


def _known(
    *,
    tools: bool | None = None,
    vision: bool | None = None,
    reasoning: bool | None = None,
    context: int | None = None,
) -> ModelCapabilities:
    return ModelCapabilities(
        supports_tools=tools, supports_vision=vision, supports_reasoning=reasoning, context_window=context
    )
