"""What only Azure's chat completions have: deployments in the path, and API versions that know different fields."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from urllib.parse import quote

from loomwire.domain.config import LLMConfig
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks

_PATH = "/chat/completions"
# Older ones refuse max_completion_tokens (openai-python#1724) and stream_options (azure-sdk-for-js#30751).
_KNOWS_ALL = "2024-09-01"


def chat_path(config: LLMConfig, quirks: ChatQuirks, endpoint: str = _PATH) -> str:
    """Return path and query below the base URL.

    Args:
        config: The target, with the base URL it is asked at.
        quirks: Say whether the vendor has deployments and versions.
        endpoint: What is asked; embeddings have the same addresses.
    """
    version = config.api_version or quirks.api_version
    path = endpoint if version is None else f"{endpoint}?api-version={_quoted(version)}"
    if not quirks.deployments or (config.base_url or "").rstrip("/").endswith("/v1"):
        return path
    if version is None or not _is_dated(version):
        return f"/v1{path}"
    return f"/deployments/{_quoted(config.model)}{path}"


def quirks_at(config: LLMConfig, quirks: ChatQuirks) -> ChatQuirks:
    """Return the quirks of the API version that a deployment is asked in."""
    version = config.api_version
    if version is None or not _is_dated(version) or version[: len(_KNOWS_ALL)] >= _KNOWS_ALL:
        return quirks
    return _older(quirks)


@lru_cache(maxsize=8)
def _older(quirks: ChatQuirks) -> ChatQuirks:
    return replace(quirks, max_tokens="max_tokens", stream_usage=False)


def _is_dated(version: str) -> bool:
    # `preview` and `latest` are versions of the v1 API.
    return version[:1].isdigit()


def _quoted(name: str) -> str:
    quoted = quote(name, safe="", errors="replace")
    # Alone, dots would be a step in the path.
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")
