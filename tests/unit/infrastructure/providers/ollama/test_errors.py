"""Ollama's errors are told by the status; in a stream there is a sentence only."""

from __future__ import annotations

import json

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.infrastructure.providers.ollama.chat import OllamaChat

CONFIG = LLMConfig.ollama("m")


@pytest.mark.parametrize(
    ("status", "words", "reason"),
    [
        (400, "registry.ollama.ai/library/m does not support tools", "invalid_request"),
        (400, "prompt too long; exceeded max context length by 3 tokens", "context_length"),
        (401, "unauthorized", "credentials"),
        (404, "model 'm' not found", "model"),
        (429, "you have reached your limit", "throttled"),
        (500, "model requires more system memory (2.7 GiB) than is available (2.3 GiB)", "server"),
        (500, "input is too large to process", "request_too_large"),
        (503, "server busy, please try again.  maximum pending requests exceeded", "overloaded"),
        (200, "an error was encountered while running the model", "server"),
        (200, "the input length exceeds the context length", "context_length"),
    ],
)
def test_an_error_is_what_status_and_sentence_say(status: int, words: str, reason: str) -> None:
    error = OllamaChat().error_for(status, {}, json.dumps({"error": words}).encode(), CONFIG)
    assert (error.reason, error.provider_message) == (reason, words)


@pytest.mark.parametrize("body", [b"<html></html>", b"", b"\xff", b'{"error": {"a": [1]}}', b"[]", b'"x"'])
def test_any_body_is_an_error(body: bytes) -> None:
    assert OllamaChat().error_for(500, {}, body, CONFIG).reason == "server"
