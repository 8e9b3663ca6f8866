"""The recorded lists of models, read as `expect` says: names, limits, next pages, what a model can do, and errors."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.values import JSON, JSONObject, Secret
from loomwire.infrastructure.catalogue.detected import Listed
from loomwire.infrastructure.catalogue.detection.listings import LISTINGS, listing_of
from loomwire.infrastructure.catalogue.detection.native import ollama_show
from loomwire.infrastructure.catalogue.detection.openai_shaped import lm_studio
from loomwire.infrastructure.catalogue.detection.reading import Page
from loomwire.infrastructure.providers.speech import dialect_of, speech
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from support.wire_playback import Recording, parameters, recordings

TYPES = {"lmstudio": "lm_studio"}
"""Providers of the recordings that are called otherwise here."""


def type_of(recording: Recording) -> str:
    """Return the provider type that a recording is of."""
    return TYPES.get(recording.provider, recording.provider)


def read(recording: Recording) -> Page:
    """Return what the recorded listing says."""
    listing = listing_of(type_of(recording), PROVIDERS[type_of(recording)].dialect)
    assert listing is not None
    return listing.decode(recording.body)


def expected(recording: Recording, key: str) -> JSONObject:
    """Return an object of what is expected."""
    found = recording.expect.get(key)
    assert isinstance(found, Mapping)
    return found


def known(listed: Listed) -> dict[str, object]:
    """Return what was said of a model, as far as anything was."""
    able = listed.capabilities
    return {name: getattr(able, name) for name in able.stated_by("detected").sources}


@pytest.mark.parametrize("recording", parameters("models", "ollama_tags"))
def test_every_list_of_models_is_read_as_expected(recording: Recording) -> None:
    if recording.error is not None:
        target = LLMConfig(type=type_of(recording), model="any", keys=(Secret("key-of-the-test"),))
        dialect = dialect_of(speech(target, PROVIDERS[target.type], DIALECTS), DIALECTS)
        error = dialect.error_for(recording.status, recording.headers, recording.body, target)
        acceptable = recording.error["acceptable"]
        assert isinstance(acceptable, list)
        assert error.category.value in acceptable
        assert error.retryable is recording.error["retryable"]
        return
    page, models = read(recording), expected(recording, "models")
    ids = models["ids"]
    assert isinstance(ids, list)
    names = [listed.id for listed in page.models]
    # `ids` holds the first twenty.
    assert (len(names), names[: len(ids)] if len(ids) < len(names) else names) == (models["count"], ids) or (
        len(names) == models["count"] and set(ids) <= set(names)
    )
    assert page.next_page == recording.expect.get("next_page")
    limits = models.get("token_limits", {})
    assert isinstance(limits, Mapping)
    by_name = {listed.id: listed.capabilities for listed in page.models}
    assert {name: [by_name[name].context_window, by_name[name].max_tokens] for name in limits} == limits


@pytest.mark.parametrize("recording", parameters("ollama_show"))
def test_every_shown_model_of_ollama_is_read_as_expected(recording: Recording) -> None:
    info, shown = expected(recording, "model_info"), ollama_show(recording.body, "llama3.1")
    details = info["details"]
    assert isinstance(details, Mapping)
    assert shown.capabilities.context_window == info["context_length"]
    # Its template names tools; these servers were too old to say so in words.
    assert shown.capabilities.supports_tools is True
    custom = shown.capabilities.custom_capabilities
    assert custom == {name: details[name] for name in ("parameter_size", "quantization_level")}


FACTS: Mapping[str, tuple[str, dict[str, JSON]]] = {
    "anthropic": (
        "claude-opus-4-1-20250805",
        {
            "supports_vision": True,
            "supports_json_schema": True,
            "supports_reasoning": True,
            "context_window": 200_000,
            "max_tokens": 32_000,
        },
    ),
    "mistral": (
        "codestral-latest",
        {"supports_tools": True, "supports_vision": False, "supports_reasoning": False, "context_window": 256_000},
    ),
    "groq": (
        "openai/gpt-oss-20b",
        {
            "supports_tools": True,
            "supports_vision": False,
            "supports_json_mode": True,
            "supports_json_schema": True,
            "supports_reasoning": True,
            "context_window": 131_072,
            "max_tokens": 65_536,
        },
    ),
    "gemini": (
        "models/gemini-2.5-pro",
        {
            "supports_streaming": True,
            "supports_reasoning": True,
            "context_window": 1_048_576,
            "max_tokens": 65_536,
        },
    ),
    "cohere": ("command-r", {"context_window": 128_000}),
    "openai": ("gpt-4", {}),
}


@pytest.mark.parametrize("provider", sorted(FACTS))
def test_what_a_vendor_says_of_a_model_is_known_and_nothing_else(provider: str) -> None:
    name, facts = FACTS[provider]
    found = [each for each in recordings("models") if each.provider == provider and each.error is None]
    if not found:
        pytest.skip("the recordings are not here: set LOOMWIRE_WIRE_DIR")
    listed = [listed for recording in found for listed in read(recording).models if listed.id == name]
    assert known(listed[0]) == facts


def test_prices_per_token_become_prices_per_million(recording_of_groq: Page) -> None:
    priced = {listed.id: listed.prices for listed in recording_of_groq.models}
    prices = priced["openai/gpt-oss-20b"]
    assert prices is not None
    assert (prices.input_pico, prices.output_pico, prices.cache_read_pico) == (75_000, 300_000, 37_500)
    # Speech is paid by something else: a price for its tokens alone would be half of one.
    assert priced["canopylabs/orpheus-v1-english"] is None


@pytest.fixture
def recording_of_groq() -> Page:
    """Return what Groq's recorded listing says."""
    found = [each for each in recordings("models") if each.provider == "groq" and each.error is None]
    if not found:
        pytest.skip("the recordings are not here: set LOOMWIRE_WIRE_DIR")
    return read(found[0])


def test_the_own_listing_of_lm_studio_is_read_too() -> None:
    row = {"id": "m", "type": "vlm", "max_context_length": 32_768, "capabilities": ["tool_use"]}
    listed = lm_studio(json.dumps({"data": [row]}).encode()).models[0]
    assert known(listed) == {"supports_tools": True, "supports_vision": True, "context_window": 32_768}


def test_every_provider_of_a_recorded_listing_has_a_row_or_a_dialect() -> None:
    assert LISTINGS.keys() <= PROVIDERS.keys() | {"bedrock"}
