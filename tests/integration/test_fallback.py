"""Several models and keys from YAML, over real servers: who is asked, who rests, what is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from loomwire import LLMContainer
from loomwire.domain.errors import AllTargetsFailedError
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.testing import FakeProvider, Fault, HttpReply
from loomwire.testing.wire import ReceivedRequest
from support.chains import HI
from support.falling import told

YAML = """\
version: 1
providers:
  one:
    {{type: custom, dialect: openai_chat, base_url: "{one}", keys: [dead-key-1, good-key-2], allow_private: true}}
  two:
    {{type: custom, dialect: openai_chat, base_url: "{two}", api_key: key-of-two, allow_private: true, free: true}}
models:
  big: {{provider: one, model: big}}
  small: {{provider: two, model: small, capabilities: {{json_schema: false}}}}
clients:
  planner: {{models: [big, small], balance: ordered, retry: {{attempts: {attempts}}}}}
defaults:
  balance: {{policy: ordered}}
end: true
"""


class Trip(BaseModel):
    """What the typed call asks for."""

    days: int


def by_key(request: ReceivedRequest) -> HttpReply | str:
    """Refuse the first key."""
    if "dead-key-1" in request.headers.get("authorization", ""):
        return HttpReply(401, {"error": {"message": "who", "code": "invalid_api_key"}})
    return "from one"


def written(folder: Path, one: FakeProvider, two: FakeProvider, attempts: int = 1) -> Path:
    """Write the configuration."""
    text = YAML.format(one=one.base_url, two=two.base_url, attempts=attempts)
    (folder / "loomwire.yaml").write_text(text, encoding="utf-8")
    return folder


async def said(client: ILLMClient, *, stream: bool) -> LLMResponse[str]:
    """Ask once, whole or as a stream."""
    if not stream:
        return await client.generate(HI)
    async with client.stream(HI) as events:
        _ = [event async for event in events]
        return events.response


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_dead_key_costs_one_request_and_the_other_key_answers(tmp_path: Path, *, stream: bool) -> None:
    async with (
        FakeProvider(then=by_key) as one,
        FakeProvider(then="from two") as two,
        LLMContainer.aopen(written(tmp_path, one, two), watch=False) as container,
    ):
        answers = [await said(container.llm_client("planner"), stream=stream) for _ in range(5)]
    keys = [request.headers["authorization"] for request in one.requests]
    assert [answer.text for answer in answers] == ["from one"] * 5
    assert keys == ["Bearer dead-key-1", *["Bearer good-key-2"] * 5]
    assert list(two.requests) == []
    assert "fallback one/big failed credentials" in told(answers[0])
    assert "fallback one/big passed_over credentials" in told(answers[4])
    assert not any("key-" in step for answer in answers for step in told(answer))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_dead_provider_is_replaced_and_all_failures_are_told_when_both_are_down(
    tmp_path: Path, *, stream: bool
) -> None:
    async with (
        FakeProvider(then=Fault("reset")) as one,
        FakeProvider("from two", then=Fault("status", status=503)) as two,
        LLMContainer.aopen(written(tmp_path, one, two), watch=False) as container,
    ):
        client = container.llm_client("planner")
        assert (await said(client, stream=stream)).text == "from two"
        with pytest.raises(AllTargetsFailedError) as caught:
            await said(client, stream=stream)
    assert [error.provider for error in caught.value.errors] == ["one", "one", "two"]
    assert len(one.requests) + len(two.requests) == 6


async def test_a_typed_call_asks_in_a_way_that_fits_every_model_it_may_reach(tmp_path: Path) -> None:
    async with (
        FakeProvider(then=Fault("reset")) as one,
        FakeProvider(then='{"days": 3}') as two,
        LLMContainer.aopen(written(tmp_path, one, two), watch=False) as container,
    ):
        trip = await container.typed(Trip, "planner").generate(LLMRequest.of("How long?"))
    assert trip.output == Trip(days=3)
    assert len(two.requests) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_key_that_has_to_wait_half_a_minute_is_left_for_the_other_one_at_once(
    tmp_path: Path, *, stream: bool
) -> None:
    throttled = HttpReply(429, {"error": {"message": "slow down"}}, headers={"retry-after": "30"})
    async with (
        FakeProvider(throttled, then="from one") as one,
        FakeProvider(then="from two") as two,
        LLMContainer.aopen(written(tmp_path, one, two, attempts=3), watch=False) as container,
    ):
        answer = await said(container.llm_client("planner"), stream=stream)
    assert answer.text == "from one"
    assert sum(step.waited_s for step in answer.steps) == 0
    assert list(two.requests) == []
