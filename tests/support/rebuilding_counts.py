"""Requests for a count of tokens that another program sent, rebuilt as ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from loomwire.domain.config import LLMConfig
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import JSON, JSONObject, Secret
from loomwire.infrastructure.providers.table import PROVIDERS
from support import rebuilding_anthropic, rebuilding_gemini
from support.wire_playback import Recording

COUNT_APIS = ("count_tokens",)
"""Spoken by several dialects; the provider says which."""


def target(recording: Recording, base_url: str) -> LLMConfig:
    """Return a target that plays a recording."""
    key = (Secret("playback-key"),)
    return LLMConfig(type=recording.provider, model="asked-for", base_url=base_url, keys=key, allow_private=True)


def rebuilt(recording: Recording, base_url: str) -> tuple[LLMRequest, LLMConfig]:
    """Return the request that a recording's program would have made of us, and of whom at `base_url`."""
    sent = plain(recording)
    if PROVIDERS[recording.provider].dialect == "anthropic":
        asked = replace(recording, api="messages", request={**sent, "max_tokens": 1})
        request, config = rebuilding_anthropic.rebuilt(asked)
        return request, replace(target(recording, base_url), model=config.model)
    url = recording.url.replace(":countTokens", ":generateContent")
    asked = replace(recording, api="generate_content", url=url, request=sent)
    request, config, _ = rebuilding_gemini.rebuilt(asked)
    return request, replace(target(recording, base_url), model=config.model, options=config.options)


def plain(recording: Recording) -> JSONObject:
    """Return what was to be counted, in the wording of the dialect's plain request."""
    body = spelled_out(recording)
    inside = body.get("generateContentRequest", body)
    assert isinstance(inside, Mapping)
    return inside


def spelled_out(recording: Recording) -> JSONObject:
    """Return the recorded body without what says nothing, in JSON's own spelling where there are several."""
    body = recording.request
    assert isinstance(body, Mapping)
    if PROVIDERS[recording.provider].dialect == "anthropic":
        return rebuilding_anthropic.spelled_out(body)
    # An empty instruction, whose parts are no list.
    silent: JSON = {"parts": {"text": ""}}
    inside = body.get("generateContentRequest")
    if isinstance(inside, Mapping) and inside.get("systemInstruction") == silent:
        rest = {name: value for name, value in inside.items() if name != "systemInstruction"}
        body = {**body, "generateContentRequest": rest}
    made = rebuilding_gemini.canonical(body)
    assert isinstance(made, Mapping)
    return made
