"""A vendor that speaks a known dialect takes five lines of YAML, whichever dialect that is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from loomwire import ILLMClient, LLMContainer, LLMRequest
from loomwire.domain.errors import ConfigRejectedError, LLMRateLimitError
from loomwire.domain.events import StreamEvent, TextDelta
from loomwire.domain.tools import Tool
from loomwire.domain.values import ToolCall
from loomwire.infrastructure.providers.table import DIALECTS
from loomwire.testing import Failure, FakeProvider, Reply

KEY = "sk-new-vendor-4711"
FIVE_LINES = """\
version: 1
providers:
  startup:
    type: custom
    dialect: {dialect}
    base_url: "{base_url}"
    api_key: {key}
    quirks: {quirks}
    allow_private: true
models: {{big: {{provider: startup, model: big-1, parameters: {{max_tokens: 100}}}}}}
clients: {{planner: {{models: [big], system: "You are brief."}}}}
"""
LOOK = Tool("look", "Looks.", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})


def folder(root: Path, dialect: str, base_url: str, quirks: object) -> Path:
    """Write the configuration of a new vendor; returns its folder."""
    text = FIVE_LINES.format(dialect=dialect, base_url=base_url, key=KEY, quirks=json.dumps(quirks))
    (root / "loomwire.yaml").write_text(text, encoding="utf-8")
    (root / "once.yaml").write_text("defaults: {retry: {attempts: 1}}\n", encoding="utf-8")
    return root


async def events_of(client: ILLMClient, request: LLMRequest) -> Sequence[StreamEvent]:
    """Stream once; returns every event."""
    async with client.stream(request) as stream:
        return [event async for event in stream]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_vendor_from_yaml_alone_answers_streams_calls_tools_and_fails_typed(
    tmp_path: Path, dialect: str
) -> None:
    call = ToolCall("call_1", "look", {"city": "Rome"})
    request = LLMRequest.of("Hi")
    async with FakeProvider(
        "Hello.", "Good day.", Reply(tool_calls=(call,)), Reply(failure=Failure("throttled"))
    ) as fake:
        # Every quirk of the dialect, said as YAML can say it.
        quirks = asdict(DIALECTS[dialect].quirks)
        place = await asyncio.to_thread(folder, tmp_path, dialect, fake.base_url, quirks)
        async with LLMContainer.aopen(place) as container:
            planner = container.resolve(ILLMClient, "planner")
            answer = await planner.generate(request)
            streamed = await events_of(planner, request)
            called = await planner.generate(LLMRequest.of("Look at Rome.", tools=[LOOK]))
            with pytest.raises(LLMRateLimitError) as caught:
                await planner.generate(request)
        assert (answer.text, answer.provider, answer.finish) == ("Hello.", "startup", "stop")
        assert "".join(event.text for event in streamed if isinstance(event, TextDelta)) == "Good day."
        assert [(each.name, each.arguments) for each in called.tool_calls] == [("look", {"city": "Rome"})]
        assert called.finish == "tool_calls"
        assert (caught.value.provider, caught.value.reason) == ("startup", "throttled")
        # A key that only signs is never sent.
        told = [" ".join(seen.headers.values()) for seen in fake.requests]
        assert all(KEY in headers or "Signature=" in headers for headers in told)
        assert all(
            b"You are brief." in seen.body and b"big-1" in seen.body + seen.path.encode() for seen in fake.requests
        )


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_quirk_that_the_dialect_does_not_have_is_shown_where_it_stands(tmp_path: Path, dialect: str) -> None:
    first = next(iter(asdict(DIALECTS[dialect].quirks)))
    wrong = (
        ({f"{first}x": 1}, f"unknown quirk '{first}x'", f"providers.startup.quirks.{first}x"),
        ({first: {"no": 1}}, "quirks: Expected", "providers.startup.quirks"),
    )
    for quirks, said, path in wrong:
        place = await asyncio.to_thread(folder, tmp_path, dialect, "https://llm.example.com/v1", quirks)
        with pytest.raises(ConfigRejectedError) as caught:
            async with LLMContainer.aopen(place):
                pass
        (problem,) = caught.value.problems
        assert said in problem.message
        assert (problem.path, problem.line) == (path, 8)


async def test_a_quirk_changes_what_is_sent(tmp_path: Path) -> None:
    quirks = {"system_role": "developer", "max_tokens": "max_completion_tokens"}
    async with FakeProvider("Hello.") as fake:
        place = await asyncio.to_thread(folder, tmp_path, "openai_chat", fake.base_url, quirks)
        async with LLMContainer.aopen(place) as container:
            await container.resolve(ILLMClient, "planner").generate(LLMRequest.of("Hi"))
        (seen,) = fake.requests
        body = json.loads(seen.body)
        assert body["messages"][0] == {"role": "developer", "content": "You are brief."}
        assert (body["max_completion_tokens"], "max_tokens" in body) == (100, False)
