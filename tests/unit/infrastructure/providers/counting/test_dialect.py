"""What is counted is what would be sent; what is no count is never taken for one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMError, LLMProtocolError
from loomwire.domain.messages import Message
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.counting.columns import COUNTS, Counts
from loomwire.infrastructure.providers.counting.dialect import CountDialect
from loomwire.infrastructure.providers.speech import dialect_of, speech
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.infrastructure.providers.wire.dialect import Dialect
from loomwire.infrastructure.providers.wire.usage import MOST_TOKENS

Case: TypeAlias = tuple[str, Counts]
CASES: list[Case] = [(name, counts) for name, column in COUNTS.items() for counts in column]
FULL = LLMRequest(
    (Message.system("Be brief."), Message.user("Weather in Lisbon?")),
    tools=(Tool("weather", "Tells it.", {"type": "object", "properties": {"city": {"type": "string"}}}),),
    parameters=Parameters(temperature=0.5, max_tokens=100, top_p=0.9),
)
ANSWERED = OutputSpec({"type": "object", "properties": {"a": {"type": "string"}}})


def made(case: Case, model: str = "m-1") -> tuple[CountDialect, Dialect, LLMConfig]:
    """Return what counts, what answers, and their target."""
    name, counts = case
    config = LLMConfig(type=name, model=model, dialect=counts.dialect, base_url="https://x.test/v1", allow_private=True)
    dialect = dialect_of(speech(config, PROVIDERS[name], DIALECTS), DIALECTS)
    return CountDialect(dialect, counts), dialect, config


def inside(body: bytes, counts: Counts) -> Mapping[str, JSON]:
    """Return what stands inside the objects that the endpoint wants around it."""
    found = json.loads(body)
    for name in counts.within:
        assert found.keys() == {name}
        found = found[name]
    assert isinstance(found, dict)
    return found


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1].dialect}")


@every_case
@pytest.mark.parametrize("request_", [FULL, LLMRequest.of("Hi"), LLMRequest.of("Hi", output=ANSWERED)])
def test_every_field_that_is_counted_is_the_one_that_is_sent(case: Case, request_: LLMRequest) -> None:
    counting, dialect, config = made(case)
    counts = case[1]
    sent = json.loads(dialect.encode(request_, config, stream=False))
    counted = inside(counting.encode(request_, config), counts)
    takes = sent.keys() if counts.takes is None else sent.keys() & counts.takes
    named = {"model": "models/m-1"} if counts.named else {}
    assert counted == {name: sent[name] for name in takes} | named


@every_case
def test_what_is_no_input_of_the_model_is_left_out(case: Case) -> None:
    counting, _, config = made(case)
    counted = inside(counting.encode(FULL, config), case[1])
    assert not counted.keys() & {"max_tokens", "max_output_tokens", "temperature", "inferenceConfig", "stream", "store"}


@pytest.mark.parametrize(
    ("name", "model", "path"),
    [
        ("anthropic", "claude", "/messages/count_tokens"),
        ("openai", "gpt", "/responses/input_tokens"),
        ("gemini", "g-1", "/models/g-1:countTokens"),
        ("gemini", "tunedModels/mine", "/tunedModels/mine:countTokens"),
        ("vertex", "g-1", "/publishers/google/models/g-1:countTokens"),
        ("bedrock", "a:b/c", "/model/a%3Ab%2Fc/count-tokens"),
        ("bedrock", "eu.anthropic.claude-x", "/model/anthropic.claude-x/count-tokens"),
        ("bedrock", "us-gov.amazon.nova", "/model/amazon.nova/count-tokens"),
        ("bedrock", "anthropic.claude-x", "/model/anthropic.claude-x/count-tokens"),
    ],
)
def test_the_path_is_the_chats_with_another_end(name: str, model: str, path: str) -> None:
    counting, _, config = made((name, COUNTS[name][0]), model)
    assert counting.path(config) == path


def test_the_gemini_api_is_told_the_model_as_its_place() -> None:
    case = ("gemini", COUNTS["gemini"][0])
    for model, told in (
        ("g-1", "models/g-1"),
        ("models/g-1", "models/g-1"),
        ("tunedModels/my one", "tunedModels/my one"),
    ):
        counting, _, config = made(case, model)
        assert inside(counting.encode(LLMRequest.of("Hi"), config), case[1])["model"] == told


@every_case
def test_a_count_is_read(case: Case) -> None:
    counting, _, config = made(case)
    for count in (0, 1, 13, MOST_TOKENS):
        body = json.dumps({"more": [1, {"x": None}], case[1].field: count}).encode()
        assert counting.decode(body, FULL, config) == count


@every_case
@pytest.mark.parametrize(
    "value",
    ["-1", "true", "false", "null", "1.5", "13.0", '"13"', "[13]", "{}", f"{MOST_TOKENS + 1}", "1e400", "9" * 400],
)
def test_what_is_no_number_of_tokens_is_a_protocol_error(case: Case, value: str) -> None:
    counting, _, config = made(case)
    with pytest.raises(LLMProtocolError) as caught:
        counting.decode(f'{{"{case[1].field}": {value}}}'.encode(), FULL, config)
    assert caught.value.reason == "protocol"


@every_case
@pytest.mark.parametrize(
    "body", [b"", b"<html>no</html>", b"13", b"[13]", b'"x"', b"{", b"[" * 9999, b"\xff{}", b"null"]
)
def test_what_is_no_object_is_a_protocol_error(case: Case, body: bytes) -> None:
    counting, _, config = made(case)
    with pytest.raises(LLMProtocolError):
        counting.decode(body, FULL, config)


@every_case
def test_an_error_with_status_200_is_the_dialects_own(case: Case) -> None:
    counting, _, config = made(case)
    with pytest.raises(LLMError) as caught:
        counting.decode(b'{"error": {"message": "no such model", "code": 404}}', FULL, config)
    assert (caught.value.reason, caught.value.provider_message) == ("model", "no such model")


@every_case
@pytest.mark.parametrize("body", [b"{}", b'{"tokens": [1, 2]}', b'{"error": null}'])
def test_what_holds_neither_a_count_nor_an_error_is_not_called_the_providers_error(case: Case, body: bytes) -> None:
    counting, _, config = made(case)
    with pytest.raises(LLMProtocolError, match="neither an answer nor an error"):
        counting.decode(body, FULL, config)


@every_case
@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_the_endpoint_is_told_apart_from_a_model_that_is_not_there(case: Case, status: int) -> None:
    counting, dialect, config = made(case)
    refused = counting.error_for(status, {}, b'{"detail": "Not Found"}', config)
    assert refused.hint.startswith("Does the server have this endpoint?")
    assert refused.reason == dialect.error_for(status, {}, b'{"detail": "Not Found"}', config).reason


@given(st.binary(max_size=60))
def test_no_bytes_are_taken_for_a_count_that_are_none(body: bytes) -> None:
    counting, _, config = made(("anthropic", COUNTS["anthropic"][0]))
    try:
        count = counting.decode(body, FULL, config)
    except LLMError:
        return
    assert count == json.loads(body)["input_tokens"]


@pytest.mark.parametrize(
    ("name", "field"),
    [("anthropic", "container"), ("openai", "prompt"), ("vertex", "cachedContent"), ("bedrock", "promptVariables")],
)
def test_what_would_be_missing_from_the_count_is_refused(name: str, field: str) -> None:
    counting, _, config = made((name, COUNTS[name][0]))
    with pytest.raises(CapabilityError, match=f"cannot count a request with {field}"):
        counting.encode(LLMRequest((Message.user("Hi"),), extra={field: "x"}), config)


def test_an_effort_at_bedrock_is_no_input_and_a_schema_beside_it_is() -> None:
    counting, _, config = made(("bedrock", COUNTS["bedrock"][0]), "anthropic.claude-opus-4-6-v1")
    thinking = Parameters(reasoning_effort="high")
    asked = counting.encode(LLMRequest.of("Hi", parameters=thinking), config)
    assert inside(asked, COUNTS["bedrock"][0]).keys() == {"messages", "additionalModelRequestFields"}
    with pytest.raises(CapabilityError, match=r"cannot count a request with outputConfig\.textFormat"):
        counting.encode(LLMRequest.of("Hi", output=ANSWERED, parameters=thinking), config)


def test_what_only_has_the_name_of_an_object_is_left_to_the_server() -> None:
    counting, _, config = made(("bedrock", COUNTS["bedrock"][0]))
    asked = counting.encode(LLMRequest((Message.user("Hi"),), extra={"outputConfig": ["textFormat"]}), config)
    assert inside(asked, COUNTS["bedrock"][0]).keys() == {"messages"}


def test_headers_signature_and_errors_are_the_dialects() -> None:
    counting, dialect, config = made(("anthropic", COUNTS["anthropic"][0]))
    assert counting.headers(config) == dialect.headers(config) != {}
    refused = counting.error_for(404, {}, b'{"error": {"type": "not_found_error", "message": "x"}}', config)
    assert refused.reason == "model"
    assert repr(counting) == "CountDialect(AnthropicMessages)"
