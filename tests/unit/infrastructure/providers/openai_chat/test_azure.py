"""Azure's addresses and versions, its filters, and what goes wrong there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, LLMError
from loomwire.domain.requests import LLMRequest, Parameters
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.speech import dialect_of, speech
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.dialect import Dialect
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.deferred import DeferredPool

RESOURCE = "https://it.openai.azure.com"
OPENAI = LLMConfig.azure_openai("gpt-4o", base_url=RESOURCE, api_key="k")


def factory() -> ClientFactory:
    return ClientFactory(DeferredPool(), SystemClock())


def dialect(config: LLMConfig = OPENAI) -> Dialect:
    return dialect_of(speech(config, PROVIDERS[config.type], DIALECTS), DIALECTS)


def asked_at(config: LLMConfig) -> str:
    """Return the whole address that is asked."""
    target = factory().resolved(config)
    return f"{target.base_url}{dialect(target).path(target, stream=False)}"


@pytest.mark.parametrize(
    ("base_url", "version", "place"),
    [
        (RESOURCE, None, "/openai/v1/chat/completions"),
        (f"{RESOURCE}/", None, "/openai/v1/chat/completions"),
        (f"{RESOURCE}/openai", None, "/openai/v1/chat/completions"),
        (f"{RESOURCE}/openai/v1/", None, "/openai/v1/chat/completions"),
        (RESOURCE, "preview", "/openai/v1/chat/completions?api-version=preview"),
        (f"{RESOURCE}/openai/v1", "preview", "/openai/v1/chat/completions?api-version=preview"),
        (RESOURCE, "2024-10-21", "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"),
        (
            f"{RESOURCE}/openai",
            "2025-01-01-preview",
            "/openai/deployments/gpt-4o/chat/completions?api-version=2025-01-01-preview",
        ),
    ],
)
def test_the_version_decides_which_api_is_asked(base_url: str, version: str | None, place: str) -> None:
    assert asked_at(replace(OPENAI, base_url=base_url, api_version=version)) == f"{RESOURCE}{place}"


@pytest.mark.parametrize(
    ("model", "quoted"),
    [
        ("my-gpt.4_o", "my-gpt.4_o"),
        ("a/b?c#d e", "a%2Fb%3Fc%23d%20e"),
        ("../../admin", "..%2F..%2Fadmin"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("50%25", "50%2525"),
        ("größe", "gr%C3%B6%C3%9Fe"),
        ("a\ud800", "a%3F"),
        ("a\r\nHost: b", "a%0D%0AHost%3A%20b"),
    ],
)
def test_a_deployments_name_is_one_step_of_the_path(model: str, quoted: str) -> None:
    place = asked_at(replace(OPENAI, model=model, api_version="2024-10-21&x=y"))
    assert place == f"{RESOURCE}/openai/deployments/{quoted}/chat/completions?api-version=2024-10-21%26x%3Dy"


def test_azures_model_inference_has_a_version_of_its_own() -> None:
    config = LLMConfig.of("azure_ai", "grok-4", base_url="https://it.services.ai.azure.com", api_key="k")
    base = "https://it.services.ai.azure.com/models/chat/completions?api-version="
    assert asked_at(config) == f"{base}2024-05-01-preview"
    assert asked_at(replace(config, api_version="2025-01-01")) == f"{base}2025-01-01"
    assert dialect(config).headers(config) == {"extra-parameters": "pass-through"}
    assert dialect().headers(OPENAI) == {}


@pytest.mark.parametrize(
    ("version", "limit", "usage"),
    [
        (None, "max_completion_tokens", True),
        ("preview", "max_completion_tokens", True),
        ("2024-10-21", "max_completion_tokens", True),
        ("2024-09-01-preview", "max_completion_tokens", True),
        ("2024-08-01-preview", "max_tokens", False),
        ("2023-05-15", "max_tokens", False),
    ],
)
def test_older_versions_get_only_what_they_know(version: str | None, limit: str, usage: bool) -> None:
    config = replace(OPENAI, api_version=version)
    request = LLMRequest.of("Hi", parameters=Parameters(max_tokens=9))
    body = json.loads(dialect(config).encode(request, config, stream=True))
    assert body == {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "Hi"}],
        limit: 9,
        "stream": True,
        **({"stream_options": {"include_usage": True}} if usage else {}),
    }


def test_the_responses_api_stands_at_v1_and_has_no_version() -> None:
    config = replace(OPENAI, dialect="openai_responses")
    assert asked_at(config) == f"{RESOURCE}/openai/v1/responses"
    with pytest.raises(ConfigError, match="says no api_version"):
        factory().create(replace(config, api_version="2024-10-21"))


@pytest.mark.parametrize("type_", ["openai", "vllm", "custom", "deepseek"])
def test_a_version_is_refused_where_nobody_would_hear_it(type_: str) -> None:
    config = LLMConfig(
        type=type_,
        model="m",
        dialect="openai_chat",
        keys=OPENAI.keys,
        base_url="https://a.example/v1",
        api_version="2024-10-21",
    )
    with pytest.raises(ConfigError, match=f"type {type_} says no api_version") as caught:
        factory().create(config)
    assert caught.value.metadata["key"] == ("api_version",)
    assert [error.metadata["key"] for error in factory().problems(config)] == [("api_version",)]


def test_a_gateway_of_your_own_may_have_deployments_too() -> None:
    config = LLMConfig(
        type="custom",
        model="m",
        dialect="openai_chat",
        base_url="https://a.example/azure",
        api_version="2024-10-21",
        options={"quirks": {"deployments": True}},
    )
    assert asked_at(config) == "https://a.example/azure/deployments/m/chat/completions?api-version=2024-10-21"


def test_without_an_address_the_error_shows_one() -> None:
    with pytest.raises(ConfigError, match="needs a base_url") as caught:
        factory().create(replace(OPENAI, base_url=None))
    assert 'base_url: "https://my-resource.openai.azure.com"' in caught.value.hint


def test_a_token_of_entra_travels_in_a_header_of_the_configuration() -> None:
    config = LLMConfig.azure_openai("m", base_url=RESOURCE, headers={"Authorization": "Bearer entra"})
    assert factory().create(config) is not None
    with pytest.raises(ConfigError, match="needs an API key") as caught:
        factory().create(LLMConfig.azure_openai("m", base_url=RESOURCE))
    assert "AZURE_OPENAI_API_KEY" in caught.value.hint


SAFE: Mapping[str, JSON] = {"hate": {"filtered": False, "severity": "safe"}}
FIRST: Mapping[str, JSON] = {
    "choices": [],
    "created": 0,
    "id": "",
    "model": "",
    "object": "",
    "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": SAFE}],
}


def chunk(choice: Mapping[str, JSON]) -> Mapping[str, JSON]:
    return {"id": "chatcmpl-1", "model": "gpt-4o-2024", "object": "chat.completion.chunk", "choices": [choice]}


def test_a_stream_whose_first_chunk_is_the_prompts_filter_is_named_by_the_next() -> None:
    answer = Answer(OPENAI)
    reader = dialect().reader(answer)
    chunks = [
        FIRST,
        chunk({"content_filter_results": {}, "finish_reason": None, "index": 0, "logprobs": None}),
        chunk({"content_filter_results": SAFE, "delta": None, "finish_reason": None, "index": 0}),
        chunk({"content_filter_results": SAFE, "delta": {"content": "Well,"}, "finish_reason": None, "index": 0}),
        chunk(
            {
                "content_filter_results": {"violence": {"filtered": True, "severity": "high"}},
                "delta": {},
                "finish_reason": "content_filter",
                "index": 0,
            }
        ),
    ]
    for each in chunks:
        reader.decode_event("", json.dumps(each).encode())
    reader.decode_event("", b"[DONE]")
    response = answer.result()
    assert (response.text, response.finish, response.finish_wire) == ("Well,", "content_filter", "content_filter")
    assert (response.model, response.response_id) == ("gpt-4o-2024", "chatcmpl-1")


@pytest.mark.parametrize("message", [{}, {"message": {"role": "assistant"}}, {"message": {"content": None}}])
def test_an_answer_that_the_filter_took_away_is_a_normal_result_with_a_flag(message: Mapping[str, JSON]) -> None:
    choice = {"content_filter_results": {}, "finish_reason": "content_filter", "index": 0, **message}
    answer = Answer(OPENAI)
    dialect().decode(json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode(), answer)
    assert (answer.result().text, answer.result().finish) == ("", "content_filter")


FILTERED: Mapping[str, JSON] = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"violence": {"filtered": True, "severity": "high"}},
        },
    }
}


def refused(status: int, body: JSON, headers: Mapping[str, str] | None = None) -> LLMError:
    return dialect().error_for(status, headers or {}, json.dumps(body).encode(), OPENAI)


def test_a_filtered_prompt_is_no_invalid_request() -> None:
    error = refused(400, FILTERED, {"apim-request-id": "r-1"})
    assert (error.reason, error.retryable, error.request_id) == ("content_filter", False, "r-1")
    inner = FILTERED["error"]
    assert isinstance(inner, Mapping)
    assert refused(400, {"error": {**inner, "code": None}}).reason == "content_filter"


@pytest.mark.parametrize(
    ("status", "body", "headers", "reason", "wait"),
    [
        (404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment ..."}}, {}, "model", None),
        (404, {"error": {"code": "404", "message": "Resource not found"}}, {}, "model", None),
        (401, {"error": {"code": "401", "message": "Access denied due to invalid key."}}, {}, "credentials", None),
        (401, {"statusCode": 401, "message": "Unauthorized."}, {}, "credentials", None),
        (403, {"error": {"code": "AccessDenied", "message": "Virtual network rules."}}, {}, "denied", None),
        (408, {"error": {"code": "Timeout", "message": "The operation was timeout."}}, {}, "gateway", None),
        (429, {"error": {"code": "RateLimitReached"}}, {"retry-after": "1", "retry-after-ms": "0"}, "throttled", 1.0),
        (429, {"error": {"code": "429"}}, {"retry-after-ms": "250", "retry-after": "1"}, "throttled", 0.25),
        (
            429,
            {"error": {"code": "429", "message": "Rate limit is exceeded. Try again in 2 seconds."}},
            {},
            "throttled",
            2.0,
        ),
        (429, {"error": {"code": "429", "message": "Exceeded. Please retry after 7 seconds."}}, {}, "throttled", 7.0),
        (503, {"error": {"code": "ServiceUnavailable"}}, {}, "overloaded", None),
        (500, {"error": {"code": "InternalServerError"}}, {"retry-after": "3"}, "server", 3.0),
    ],
)
def test_azures_errors_and_waits_are_known(
    status: int, body: Mapping[str, JSON], headers: Mapping[str, str], reason: str, wait: float | None
) -> None:
    error = refused(status, body, headers)
    assert (error.reason, error.retry_after, error.status) == (reason, wait, status)
