"""Lists of models, read without trust: what is not what it should be says nothing, and errors are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import LLMProtocolError, LoomError
from loomwire.infrastructure.catalogue.detected import ANY_MODEL, Listed
from loomwire.infrastructure.catalogue.detection import native, openai_shaped
from loomwire.infrastructure.catalogue.detection.listings import LISTINGS, listing_of
from loomwire.infrastructure.catalogue.detection.reading import Page

DECODERS: dict[str, Callable[[bytes], Page]] = {
    function.__name__: function
    for function in (
        openai_shaped.ids_only,
        openai_shaped.vllm,
        openai_shaped.mistral,
        openai_shaped.groq,
        openai_shaped.openrouter,
        openai_shaped.together,
        openai_shaped.lm_studio,
        native.anthropic,
        native.gemini,
        native.cohere,
        native.ollama_tags,
        native.llamacpp_props,
    )
}
WORDS = (
    "data", "models", "id", "name", "capabilities", "supported", "image_input", "aliases", "pricing", "prompt",
    "completion", "request", "architecture", "input_modalities", "supported_parameters", "features", "last_id",
    "has_more", "nextPageToken", "inputTokenLimit", "max_model_len", "context_window", "top_provider", "thinking",
    "chat_template_caps", "default_generation_settings", "n_ctx", "model_info", "details", "template", "parameters",
)  # fmt: skip
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(("", "x", "-1", "1e999")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=25,
)


def said(listed: Listed) -> dict[str, object]:
    """Return the facts of a model that anybody stated."""
    able = listed.capabilities
    return {name: getattr(able, name) for name in able.stated_by("detected").sources}


def page(decoder: Callable[[bytes], Page], body: object) -> Page:
    """Return what a body says."""
    return decoder(json.dumps(body).encode())


@pytest.mark.parametrize("name", DECODERS)
@given(body=ANYTHING)
def test_any_json_is_a_page_or_a_typed_error(name: str, body: object) -> None:
    with suppress(LLMProtocolError):
        assert all(listed.id for listed in page(DECODERS[name], body).models)


@given(body=ANYTHING)
def test_any_json_shows_a_model_of_ollama_or_is_a_typed_error(body: object) -> None:
    with suppress(LLMProtocolError):
        assert native.ollama_show(json.dumps(body).encode(), "m").id == "m"


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("body", [{"error": {"message": "no", "code": 401}}, {"status": "ok"}, {}, None, "x", 5])
def test_a_good_answer_that_is_no_listing_is_an_error_and_says_nothing_of_models(name: str, body: object) -> None:
    with pytest.raises(LLMProtocolError):
        page(DECODERS[name], body)
    with pytest.raises(LLMProtocolError):
        native.ollama_show(json.dumps(body).encode(), "m")


@pytest.mark.parametrize("body", [{"data": [], "models": []}, {"data": None, "models": None}])
def test_a_listing_of_no_models_is_one(body: object) -> None:
    for name, decoder in DECODERS.items():
        if name != "llamacpp_props":
            assert page(decoder, body).models == ()


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b'{"data": [', b"\xff\xfe"])
def test_what_is_no_json_is_a_typed_error(name: str, body: bytes) -> None:
    with pytest.raises(LoomError):
        DECODERS[name](body)


def test_openrouter_says_parameters_kinds_and_prices() -> None:
    row = {
        "id": "openai/gpt-4o",
        "context_length": 128_000,
        "architecture": {"input_modalities": ["text", "image"]},
        "top_provider": {"max_completion_tokens": 16_384},
        "supported_parameters": ["tools", "response_format", "structured_outputs", "seed"],
        "pricing": {"prompt": "0.0000025", "completion": "0.00001", "request": "0", "image": "0"},
    }
    auto = {"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}}
    first, second = page(openai_shaped.openrouter, {"data": [row, auto]}).models
    assert said(first) == {
        "supports_tools": True,
        "supports_vision": True,
        "supports_json_mode": True,
        "supports_json_schema": True,
        "supports_reasoning": False,
        "context_window": 128_000,
        "max_tokens": 16_384,
    }
    assert first.inputs == ("text", "image")
    assert first.prices is not None
    assert (first.prices.input_pico, first.prices.output_pico, first.prices.source) == (
        2_500_000,
        10_000_000,
        "detected",
    )
    assert (second.prices, said(second)) == (None, {})


@pytest.mark.parametrize(
    "pricing",
    [
        {"prompt": "0.1"},
        {"prompt": "x", "completion": "0.1"},
        {"prompt": "NaN", "completion": "0.1"},
        {"prompt": True, "completion": "0.1"},
        {"prompt": "1e9", "completion": "0.1"},
        {"prompt": "0.1", "completion": "0.1", "request": "0.01"},
        {"prompt": "0.1", "completion": "0.1", "image": 0.01},
    ],
)
def test_a_price_that_is_not_by_tokens_alone_is_unknown(pricing: object) -> None:
    listed = page(openai_shaped.groq, {"data": [{"id": "m", "pricing": pricing}]}).models[0]
    assert listed.prices is None


@pytest.mark.parametrize(
    ("decoder", "id_", "is_free"),
    [
        (openai_shaped.openrouter, "x/y:free", True),
        (openai_shaped.groq, "m", False),
        (openai_shaped.openrouter, "openai/gpt-4o-search-preview", False),
    ],
)
def test_zeros_are_a_price_only_where_their_vendor_says_so(
    decoder: Callable[[bytes], Page],
    id_: str,
    is_free: bool,  # a parameter of the test
) -> None:
    row = {"id": id_, "pricing": {"prompt": "0", "completion": "0", "request": "0"}}
    prices = page(decoder, {"data": [row]}).models[0].prices
    assert (prices is not None) == is_free
    assert prices is None or prices.are_zero


def test_vllm_and_together_say_how_much_fits() -> None:
    assert said(page(openai_shaped.vllm, {"data": [{"id": "m", "max_model_len": 8192}]}).models[0]) == {
        "context_window": 8192
    }
    assert said(page(openai_shaped.together, [{"id": "m", "context_length": 4096}]).models[0]) == {
        "context_window": 4096
    }


@pytest.mark.parametrize("size", [0, -1, True, 10**9, "8192", 8192.5])
def test_a_number_that_cannot_be_is_not_believed(size: object) -> None:
    assert said(page(openai_shaped.vllm, {"data": [{"id": "m", "max_model_len": size}]}).models[0]) == {}


def test_pages_lead_to_the_next_one() -> None:
    assert page(native.anthropic, {"data": [{"id": "a"}], "has_more": True, "last_id": "a"}).next_page == "a"
    assert page(native.anthropic, {"data": [{"id": "a"}], "has_more": False, "last_id": "a"}).next_page is None
    assert page(native.gemini, {"models": [], "nextPageToken": "t"}).next_page == "t"
    assert page(native.cohere, {"models": [], "next_page_token": "t"}).next_page == "t"


def test_cohere_says_features() -> None:
    row = {"name": "command", "features": ["tools", "vision", "json_schema"], "context_length": 256_000}
    assert said(page(native.cohere, {"models": [row]}).models[0]) == {
        "supports_tools": True,
        "supports_vision": True,
        "supports_json_mode": False,
        "supports_json_schema": True,
        "supports_reasoning": False,
        "context_window": 256_000,
    }


def test_a_new_ollama_says_what_a_model_can_do_and_its_own_context_counts() -> None:
    body = {
        "capabilities": ["completion", "tools", "thinking"],
        "model_info": {"qwen3.context_length": 40_960},
        "parameters": "stop x\nnum_ctx     8192\n",
        "details": {"parameter_size": "4.0B", "quantization_level": "Q4_K_M"},
    }
    shown = native.ollama_show(json.dumps(body).encode(), "qwen3:latest")
    assert said(shown) == {
        "supports_tools": True,
        "supports_vision": False,
        "supports_reasoning": True,
        "context_window": 8192,
        "custom_capabilities": {"parameter_size": "4.0B", "quantization_level": "Q4_K_M"},
    }
    assert shown.aliases == ("qwen3",)


def test_an_old_ollama_shows_pictures_by_the_family_and_tools_by_the_template() -> None:
    shown = native.ollama_show(b'{"template": "{{ .Prompt }}", "details": {"families": ["llama", "clip"]}}', "llava")
    assert said(shown) == {"supports_vision": True}


def test_llama_cpp_has_one_model_whatever_it_is_called() -> None:
    props = {
        "default_generation_settings": {"n_ctx": 4096},
        "chat_template_caps": {"supports_tools": True, "supports_system_role": False},
        "modalities": {"vision": False, "audio": False},
    }
    (listed,) = page(native.llamacpp_props, props).models
    assert listed.id == ANY_MODEL
    assert said(listed) == {
        "supports_tools": True,
        "supports_vision": False,
        "supports_json_mode": True,
        "supports_json_schema": True,
        "supports_system_message": False,
        "context_window": 4096,
    }


def test_a_type_without_a_row_is_asked_as_its_dialect_is() -> None:
    assert listing_of("custom", "gemini") is LISTINGS["gemini"]
    assert listing_of("openai", "openai_chat") is not None
    assert listing_of("custom", "martian") is None
    assert listing_of("custom", None) is None
    assert listing_of("vertex", "gemini") is None


@pytest.mark.parametrize("name", ["", "\x1b[2J", "a\nb", "x" * 257, 5, None])
def test_a_name_that_a_terminal_should_not_see_is_none(name: object) -> None:
    assert page(openai_shaped.ids_only, {"data": [{"id": name}, {"id": "m"}]}).models == (Listed(id="m"),)


def test_a_model_alone_is_a_list_of_one() -> None:
    assert page(openai_shaped.ids_only, {"id": "m", "object": "model"}).models == (Listed(id="m"),)
