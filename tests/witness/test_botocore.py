"""AWS's own botocore asks our fake provider, and signs as we do: a witness for the server, the frames and the signing.

It checks requests and answers against the service's definition. Nothing leaves loopback.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.config import LLMConfig
from loomwire.domain.messages import Message, ToolResult
from loomwire.domain.ports.pool import WireRequest
from loomwire.domain.pricing import Usage
from loomwire.domain.requests import LLMRequest
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, FrozenDict, ToolCall
from loomwire.infrastructure.providers.bedrock.converse import BedrockConverse
from loomwire.infrastructure.providers.bedrock.signing import signed_request
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.framing.eventstream import EventStreamDecoder
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import Failure, FakeProvider, Fault, Reply
from loomwire.testing.speakers.bedrock.frames import event

T = TypeVar("T")
# It has no types; what is used of it has them here.
_CONFIG = importlib.import_module("botocore.config")
_EVENTSTREAM = importlib.import_module("botocore.eventstream")
_EXCEPTIONS = importlib.import_module("botocore.exceptions")
_SESSION = importlib.import_module("botocore.session")
ClientError: type[Exception] = _EXCEPTIONS.ClientError
EventStreamError: type[Exception] = _EXCEPTIONS.EventStreamError
MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"
ACCESS, SECRET, TOKEN = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "IQoJb3JpZ2luX2VjEXAMPLE=="
REGION = "eu-central-1"
ADD = Tool("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})
ONE = ToolCall("tooluse_a", "add", FrozenDict({"a": 1}))
TWO = ToolCall("tooluse_b", "add", FrozenDict({"a": 2, "why": "because of the long words in here"}))
USED = Usage(120, 30, cache_read_tokens=100)
TOOLS: dict[str, JSON] = {"tools": [{"toolSpec": {"name": "add", "inputSchema": {"json": dict(ADD.parameters)}}}]}


class Stream(Protocol):
    """What botocore's client reads events from."""

    def __iter__(self) -> Iterator[dict[str, dict[str, JSON]]]:
        """Read them."""
        ...

    def close(self) -> None:
        """Close the connection."""


class Client(Protocol):
    """botocore's client of Bedrock, as far as it is used here."""

    def converse(self, **request: JSON) -> dict[str, JSON]:
        """Ask."""
        ...

    def converse_stream(self, **request: JSON) -> dict[str, Stream]:
        """Ask for a stream."""
        ...

    def count_tokens(self, **request: JSON) -> dict[str, JSON]:
        """Ask for a count."""
        ...

    def close(self) -> None:
        """Close connections."""


async def aside(work: Callable[[], T]) -> T:
    """Run what blocks beside the loop that serves it."""
    return await asyncio.to_thread(work)


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """A server that answers `Hello there.` unless told otherwise."""
    async with FakeProvider(then="Hello there.") as server:
        yield server


@pytest.fixture
async def sdk(provider: FakeProvider) -> AsyncIterator[Client]:
    """The client as its users have it, but that it sends nothing twice."""

    def made() -> Client:
        client: Client = _SESSION.Session().create_client(
            "bedrock-runtime",
            region_name=REGION,
            endpoint_url=provider.base_url.removesuffix("/v1"),
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
            aws_session_token=TOKEN,
            config=_CONFIG.Config(retries={"total_max_attempts": 1}, proxies={}),
        )
        return client

    client = await aside(made)
    yield client
    client.close()


def asked(**more: JSON) -> dict[str, JSON]:
    """Return the parameters of a call."""
    return {"modelId": MODEL, "messages": [{"role": "user", "content": [{"text": "Hi"}]}], **more}


def events_of(sdk: Client, **more: JSON) -> list[dict[str, dict[str, JSON]]]:
    """Return the events of a stream."""
    stream = sdk.converse_stream(**asked(**more))["stream"]
    try:
        return list(stream)
    finally:
        stream.close()


def content(answer: Mapping[str, JSON]) -> JSON:
    """Return what the message says."""
    output = answer["output"]
    assert isinstance(output, dict)
    message = output["message"]
    assert isinstance(message, dict)
    said: JSON = message["content"]
    return said


async def test_a_count_is_read(provider: FakeProvider, sdk: Client) -> None:
    provider.queue(Reply(usage=USED))
    turn: JSON = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "toolConfig": TOOLS}
    answer = await aside(lambda: sdk.count_tokens(modelId=MODEL, input={"converse": turn}))
    assert answer["inputTokens"] == USED.input_tokens
    metadata = answer["ResponseMetadata"]
    assert isinstance(metadata, dict)
    assert metadata["RequestId"] == provider.requests[-1].id
    assert provider.requests[-1].model == MODEL


async def test_a_plain_answer_is_read(provider: FakeProvider, sdk: Client) -> None:
    provider.queue(Reply("Hello there.", (ONE, TWO), "Hm.", signature="c2ln", usage=USED))
    answer = await aside(lambda: sdk.converse(**asked(toolConfig=TOOLS)))
    assert content(answer) == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"text": "Hello there."},
        {"toolUse": {"toolUseId": "tooluse_a", "name": "add", "input": {"a": 1}}},
        {"toolUse": {"toolUseId": "tooluse_b", "name": "add", "input": dict(TWO.arguments or {})}},
    ]
    usage, metadata = answer["usage"], answer["ResponseMetadata"]
    assert isinstance(usage, dict)
    assert isinstance(metadata, dict)
    assert (usage["inputTokens"], usage["outputTokens"], usage["totalTokens"]) == (20, 30, 150)
    assert (usage["cacheReadInputTokens"], answer["stopReason"]) == (100, "tool_use")
    assert metadata["RequestId"] == provider.requests[-1].id


async def test_a_stream_is_read(provider: FakeProvider, sdk: Client) -> None:
    provider.queue(Reply("Hello there.", (ONE, TWO), "Hm hm.", signature="c2ln", usage=USED))
    events = await aside(lambda: events_of(sdk, toolConfig=TOOLS))
    kinds = [next(iter(each)) for each in events]
    assert (kinds[0], kinds[-2:]) == ("messageStart", ["messageStop", "metadata"])
    deltas = [each["contentBlockDelta"] for each in events if "contentBlockDelta" in each]
    said: dict[JSON, str] = {}
    for each in deltas:
        told = json.loads(json.dumps(each))
        one = told["delta"]
        words = (
            one.get("text") or one.get("toolUse", {}).get("input") or one.get("reasoningContent", {}).get("text", "")
        )
        said[told["contentBlockIndex"]] = said.get(told["contentBlockIndex"], "") + words
    assert said == {0: "Hm hm.", 1: "Hello there.", 2: '{"a":1}', 3: said[3]}
    assert json.loads(said[3]) == dict(TWO.arguments or {})
    assert {"reasoningContent": {"signature": "c2ln"}} in [each["delta"] for each in deltas]
    assert events[-1]["metadata"]["usage"] is not None


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("throttled", "ThrottlingException"),
        ("denied", "AccessDeniedException"),
        ("model", "ResourceNotFoundException"),
        ("context_length", "ValidationException"),
        ("credentials", "UnrecognizedClientException"),
        ("server", "InternalServerException"),
    ],
)
async def test_errors_are_its_own(provider: FakeProvider, sdk: Client, reason: str, code: str) -> None:
    provider.queue(Reply(failure=Failure(reason, "no")))
    with pytest.raises(ClientError) as caught:
        await aside(lambda: sdk.converse(**asked()))
    told = json.loads(json.dumps(vars(caught.value)["response"], default=str))
    assert told["Error"]["Code"] == code
    assert told["Error"]["Message"].endswith("no")


async def test_an_exception_in_a_stream_is_its_own(provider: FakeProvider, sdk: Client) -> None:
    provider.queue(Fault("error_midway"))
    with pytest.raises(EventStreamError, match=r"serviceUnavailableException.*error_midway"):
        await aside(lambda: events_of(sdk))


async def test_what_we_write_it_would_have_written(provider: FakeProvider, sdk: Client) -> None:
    results = Message.tool(ToolResult("tooluse_a", "1", is_error=True))
    request = LLMRequest.of("Hi", system="Be brief.", tools=[ADD]).extended(
        Message.assistant(tool_calls=[ONE]), results
    )
    config = LLMConfig.bedrock(MODEL, region=REGION, max_tokens=9)
    ours = json.loads(BedrockConverse().encode(request, config, stream=False))
    # It refuses what the service's definition does not know, and sends nothing.
    await aside(lambda: sdk.converse(modelId=MODEL, **ours))
    seen = provider.requests[-1]
    assert json.loads(seen.body) == ours
    assert seen.path == BedrockConverse().path(config, stream=False)


async def test_our_signature_is_its_own(provider: FakeProvider, sdk: Client) -> None:
    await aside(lambda: sdk.converse(**asked()))
    seen = provider.requests[-1]
    at = datetime.strptime(seen.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    request = WireRequest(seen.path, (("content-type", "application/json"),), seen.body)
    config = LLMConfig.bedrock(MODEL, region=REGION, api_key=f"{ACCESS}:{SECRET}:{TOKEN}")
    signed = dict(signed_request(request, provider.base_url.removesuffix("/v1"), config, at).headers)
    for name in ("authorization", "x-amz-date", "x-amz-security-token"):
        assert signed[name] == seen.headers[name]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_what_we_send_is_what_we_signed(provider: FakeProvider, stream: bool) -> None:
    pool = ConnectionPool()
    config = LLMConfig.bedrock(
        MODEL,
        region=REGION,
        api_key=f"{ACCESS}:{SECRET}:{TOKEN}",
        base_url=provider.base_url,
        allow_private=True,
    )
    client = ClientFactory(pool, SystemClock()).create(config)
    if stream:
        async with client.stream(LLMRequest.of("Hi")) as answering:
            assert [each async for each in answering]
    else:
        await client.generate(LLMRequest.of("Hi"))
    seen = provider.requests[-1]
    at = datetime.strptime(seen.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    place = f"http://{seen.headers['host']}"
    asked_for = WireRequest(seen.path, (("content-type", seen.headers["content-type"]),), seen.body)
    again = dict(signed_request(asked_for, place, config, at).headers)
    assert again["authorization"] == seen.headers["authorization"]
    assert seen.path.startswith("/v1/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse")
    assert SECRET not in str(seen.headers)
    await pool.aclose()


@given(st.lists(st.tuples(st.text(min_size=1, max_size=9), st.binary(max_size=40)), max_size=6))
def test_our_framer_reads_what_its_framer_reads(said: list[tuple[str, bytes]]) -> None:
    body = b"".join(event(kind, payload) for kind, payload in said)
    theirs = _EVENTSTREAM.EventStreamBuffer()
    theirs.add_data(body)
    told = [(each.headers[":event-type"], each.payload) for each in theirs]
    assert [(each.event, each.data) for each in EventStreamDecoder().feed(body)] == told == said
