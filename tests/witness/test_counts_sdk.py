"""The official SDKs have our fake provider count: independent witnesses of its wording and of ours.

Each checks the body against its own types; nothing leaves loopback.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator

import anthropic
import httpx
import openai
import pytest
from anthropic.types import message_count_tokens_params, message_create_params
from google import genai
from google.genai import errors, types
from openai.types.responses import input_token_count_params, response_create_params

from loomwire.domain.pricing import Usage
from loomwire.infrastructure.providers.counting.columns import COUNTS
from loomwire.testing import Failure, FakeProvider, Reply

TOLD = 41
# It has no types.
_SESSION = importlib.import_module("botocore.session")


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """A server that counts, and then says no."""
    async with FakeProvider(Reply("x", usage=Usage(TOLD, 9)), Reply(failure=Failure("throttled"))) as server:
        yield server


async def test_anthropics_sdk_reads_the_count_and_the_refusal(provider: FakeProvider) -> None:
    root = provider.base_url.removesuffix("/v1")
    async with anthropic.AsyncAnthropic(api_key="witness", base_url=root, max_retries=0) as sdk:
        counted = await sdk.messages.count_tokens(model="m", messages=[{"role": "user", "content": "Hi"}], system="Yes")
        assert counted.input_tokens == TOLD
        with pytest.raises(anthropic.RateLimitError):
            await sdk.messages.count_tokens(model="m", messages=[{"role": "user", "content": "Hi"}])


async def test_openais_sdk_reads_the_count_and_the_refusal(provider: FakeProvider) -> None:
    async with openai.AsyncOpenAI(api_key="witness", base_url=provider.base_url, max_retries=0) as sdk:
        counted = await sdk.responses.input_tokens.count(model="m", input="Hi", instructions="Be brief.")
        assert (counted.input_tokens, counted.object) == (TOLD, "response.input_tokens")
        with pytest.raises(openai.RateLimitError):
            await sdk.responses.input_tokens.count(model="m", input="Hi")


async def test_googles_sdk_reads_the_count_and_the_refusal(provider: FakeProvider) -> None:
    root = provider.base_url.removesuffix("/v1")
    async with httpx.AsyncClient() as http:
        options = types.HttpOptions(base_url=root, api_version="v1beta", httpx_async_client=http)
        sdk = genai.Client(api_key="witness", http_options=options)
        counted = await sdk.aio.models.count_tokens(model="m", contents="Hi")
        assert counted.total_tokens == TOLD
        with pytest.raises(errors.ClientError):
            await sdk.aio.models.count_tokens(model="m", contents="Hi")
        sdk.close()


def test_the_fields_we_send_are_those_that_the_vendors_clients_know() -> None:
    messages, responses = COUNTS["anthropic"][0].takes, COUNTS["openai"][0].takes
    assert messages is not None
    assert responses is not None
    counted = message_count_tokens_params.MessageCountTokensParams.__annotations__.keys()
    sent = message_create_params.MessageCreateParamsBase.__annotations__.keys()
    # These two are of the vendor's beta; the other two become headers.
    assert messages - {"context_management", "mcp_servers"} <= counted
    assert counted & sent <= messages | {"user_profile_id", "workspace_id"}
    told = input_token_count_params.InputTokenCountParams.__annotations__.keys()
    assert responses == told
    assert told - {"personality"} <= response_create_params.ResponseCreateParamsBase.__annotations__.keys()


def test_converse_takes_the_fields_that_botocore_knows() -> None:
    counts = COUNTS["bedrock"][0]
    operation = _SESSION.get_session().get_service_model("bedrock-runtime").operation_model("CountTokens")
    outer, inner = counts.within
    assert counts.takes == frozenset[str](operation.input_shape.members[outer].members[inner].members)
    assert operation.http["requestUri"] == "/model/{modelId}/count-tokens"
    assert list(operation.output_shape.members) == [counts.field]
