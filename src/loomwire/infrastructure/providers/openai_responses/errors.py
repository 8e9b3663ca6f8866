"""The words with which servers of the Responses dialect tell what is wrong, in bodies and inside of streams."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.infrastructure.providers.openai_chat.errors import CHAT_ERRORS
from loomwire.infrastructure.providers.wire.errors import reported_error

_POLICY = ("invalid_prompt", "bio_policy", "image_content_policy_violation")
_PICTURES = (
    "invalid_image",
    "invalid_image_format",
    "invalid_base64_image",
    "invalid_image_url",
    "invalid_image_mode",
    "image_too_large",
    "image_too_small",
    "image_parse_error",
    "image_file_too_large",
    "image_file_not_found",
    "unsupported_image_media_type",
    "empty_image_file",
    "failed_to_download_image",
)

RESPONSES_ERRORS: Final = replace(
    CHAT_ERRORS,
    codes={
        **CHAT_ERRORS.codes,
        **dict.fromkeys(_POLICY, "content_filter"),
        **dict.fromkeys(_PICTURES, "invalid_request"),
        "vector_store_timeout": "gateway",
    },
)
"""OpenAI words both of its APIs alike; these are the codes of `response.error` besides."""

# What the same words are sent with when they come before the answer; a stream has no status of its own (TRAPS 53).
_PACE = frozenset({"rate_limit_exceeded", "insufficient_quota", "slow_down"})


def reported(error: object, config: LLMConfig) -> LLMError:
    """Return the error that an answer or a stream reports after status 200; not raised.

    Args:
        error: The value of `error`, any JSON.
        config: The target.
    """
    if isinstance(error, dict) and "status_code" not in error:
        code = error.get("code")
        error = {**error, "status_code": 429} if isinstance(code, str) and code in _PACE else error
    body = msgspec.json.encode({"error": error})
    return reported_error(body, config, RESPONSES_ERRORS)
