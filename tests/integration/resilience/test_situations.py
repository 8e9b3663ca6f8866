"""The situations in which a call has to go on elsewhere, over real sockets: all end well, and every attempt is told."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from benchmarks.soak.chain import CLIENT, answer, configuration, opened
from loomwire import ILLMClient, LLMRequest, Message, ToolCall, ToolResult, Usage
from loomwire.domain.errors import (
    AllTargetsFailedError,
    ContentFilterError,
    ContextLengthError,
    LLMError,
    LLMValidationError,
    StreamInterruptedError,
)
from loomwire.domain.pricing import Cost
from loomwire.domain.reports.steps import Step
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON
from loomwire.testing import FakeProvider, Fault, HttpReply, Reply
from loomwire.testing.queued import Queued

TEXT = "The harbour opens at seven, the market at eight, and the mill when there is wind."
ONE = Reply(TEXT + " So says one.", usage=Usage(1000, 100))
TWO = Reply(TEXT + " So says two.", usage=Usage(2000, 200))
DEADLINE_S = 8.0
DEFAULTS: Mapping[str, JSON] = {
    "timeouts": {"connect": 1, "ttft": 0.4, "idle": 0.4, "attempt": 0.4, "total": DEADLINE_S, "min_attempt": 0.05},
    "retry": {"attempts": 3, "base": 0.01, "throttle_base": 0.01},
}
PRICES: Mapping[str, JSON] = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 10}
HISTORY = LLMRequest(
    (
        Message.user("When does the harbour open?"),
        Message.assistant("", tool_calls=[ToolCall("call_of_another_vendor", "hours", {"of": "harbour"})]),
        Message.tool(ToolResult("call_of_another_vendor", "seven")),
        Message.user("And the market?"),
    )
)


def status(number: int, retry_after: float | None = None, reply: Reply = ONE) -> Fault:
    """Return an answer with a status."""
    return Fault("status", reply, status=number, retry_after=retry_after)


def refusal(code: str) -> HttpReply:
    """Return a refusal in the words of chat completions."""
    return HttpReply(400, {"error": {"message": "no", "type": "invalid_request_error", "code": code}})


@dataclass(frozen=True)
class End:
    """How a call has to end.

    Attributes:
        by: Who answers, `one` or `two`, or the class of the error.
        requests: How many requests the two servers see.
        least_s: The call takes at least so long.
        most_s: The call takes at most so long.
    """

    by: str | type[LLMError]
    requests: tuple[int, int]
    least_s: float = 0.0
    most_s: float = DEADLINE_S


@dataclass(frozen=True)
class Situation:
    """What the servers do, and how a call ends.

    Attributes:
        first: What the first server says to begin with.
        plain: How a plain call ends.
        stream: How a stream ends; as a plain call does when None.
        then: What the first server says after that.
        second: What the second server says.
        client: What else the client's YAML says.
        windows: How much the models hold.
        request: What is asked.
    """

    first: Sequence[Queued]
    plain: End
    stream: End | None = None
    then: Queued = ONE
    second: Queued = TWO
    client: Mapping[str, JSON] = field(default_factory=dict)
    windows: tuple[int, int] = (8_000, 8_000)
    request: LLMRequest = LLMRequest.of("When does what open?")


BROKEN = End(StreamInterruptedError, (1, 0))
SITUATIONS: Mapping[str, Situation] = {
    "a 429 that names a wait is asked again after it": Situation([status(429, 0.3)], End("one", (2, 0), least_s=0.3)),
    "a 429 that names no wait is asked again": Situation([status(429)], End("one", (2, 0))),
    "a 429 that stays goes to the next": Situation([], End("two", (3, 1)), then=status(429)),
    "a 429 that asks for too long goes to the next at once": Situation(
        [], End("two", (1, 1), most_s=4.0), then=status(429, 61.0)
    ),
    "one 500 is asked again": Situation([status(500)], End("one", (2, 0))),
    "a 503 that stays goes to the next": Situation([], End("two", (3, 1)), then=status(503)),
    "a 529 that stays goes to the next": Situation([], End("two", (3, 1)), then=status(529)),
    "a connection that is reset once is asked again": Situation([Fault("reset", ONE)], End("one", (2, 0))),
    "a server that resets every connection is left for the next": Situation(
        [], End("two", (3, 1)), then=Fault("reset", ONE)
    ),
    "silence ends with the attempt's time and goes to the next": Situation(
        [], End("two", (3, 1), most_s=4.0), then=Fault("hang", ONE)
    ),
    "a first token that comes too late is not waited for": Situation(
        [], End("two", (3, 1), most_s=4.0), then=Reply("Late.", delay_s=1.0)
    ),
    "an answer that is cut is asked for again, a stream tells what it had": Situation(
        [Fault("cut_close", ONE)], End("one", (2, 0)), BROKEN
    ),
    "an answer that stalls is asked for again, a stream tells what it had": Situation(
        [Fault("stall", ONE)], End("one", (2, 0)), BROKEN
    ),
    "a malformed chunk is no answer": Situation([Fault("bad_chunk", ONE)], End("one", (2, 0))),
    "malformed JSON is no answer": Situation([Fault("bad_json", ONE)], End("one", (2, 0)), BROKEN),
    "a stream without [DONE] that said why it ended is whole": Situation(
        [Fault("no_end_sign", ONE)], End("one", (1, 0))
    ),
    "a stream that ends properly without any sign is not whole": Situation(
        [Fault("cut_clean", ONE)], End("one", (2, 0)), BROKEN
    ),
    "too long a context goes to a larger window": Situation(
        [refusal("context_length_exceeded")], End("two", (1, 1)), windows=(8_000, 128_000)
    ),
    "too long a context goes to no window that is as small": Situation(
        [refusal("context_length_exceeded")], End(ContextLengthError, (1, 0))
    ),
    "what a content filter refused is not routed around": Situation(
        [refusal("content_filter")], End(ContentFilterError, (1, 0))
    ),
    "what a content filter refused is routed around where the YAML allows it": Situation(
        [refusal("content_filter")], End("two", (1, 1)), client={"content_filter_fallback": True}
    ),
    "a fallback that rejects the history does not hide why the first failed": Situation(
        [], End(AllTargetsFailedError, (3, 1)), then=status(503), second=refusal("invalid_value"), request=HISTORY
    ),
    "a request that is wrong is told to the caller at once": Situation(
        [], End(LLMValidationError, (1, 0)), then=refusal("invalid_value")
    ),
    "a key that is refused is not tried again": Situation([], End("two", (1, 1)), then=status(401)),
    "a model that does not exist is looked for elsewhere": Situation([], End("two", (1, 1)), then=status(404)),
    "when nobody answers, every error is told": Situation(
        [], End(AllTargetsFailedError, (3, 3)), then=status(500), second=status(502, reply=TWO)
    ),
}


def yaml_of(situation: Situation, urls: Sequence[str]) -> Mapping[str, JSON]:
    """Return the configuration of a client with a model at each URL, in this order."""
    made = configuration(urls, client=situation.client, defaults=DEFAULTS, provider={})
    models: Mapping[str, JSON] = {
        f"at_endpoint_{number}": {
            "provider": f"endpoint_{number}",
            "model": f"m{number}",
            "prices": PRICES,
            "capabilities": {"context_window": window, "tools": True},
        }
        for number, window in enumerate(situation.windows)
    }
    return {**made, "models": models}


def attempts_in(steps: Sequence[Step]) -> tuple[int, int]:
    """Return how many sends to the two targets the steps tell of."""
    targets = [step.target for step in steps if step.layer == "attempt"]
    return targets.count("endpoint_0/m0"), targets.count("endpoint_1/m1")


def judge(end: End, got: LLMResponse[str] | LLMError, said: str) -> None:
    """Check what a call came to."""
    if isinstance(got, LLMError):
        assert type(got) is end.by
        if isinstance(got, StreamInterruptedError):
            assert got.partial_text == said != ""
            assert ONE.text.startswith(said)
        if isinstance(got, AllTargetsFailedError):
            assert [error.model for error in got.errors] == ["m0", "m1"]
            assert got.errors[0].reason in ("overloaded", "server")
        return
    right = {"one": ONE, "two": TWO}[str(end.by)]
    assert (got.text, said) == (right.text, right.text)
    assert got.model == {"one": "m0", "two": "m1"}[str(end.by)]
    assert right.usage is not None
    assert (got.usage.input_tokens, got.usage.output_tokens) == (right.usage.input_tokens, right.usage.output_tokens)
    assert isinstance(got.cost, Cost)
    assert got.cost.micro_usd == right.usage.input_tokens + 10 * right.usage.output_tokens


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("name", SITUATIONS)
async def test_situation(name: str, streamed: bool) -> None:
    situation = SITUATIONS[name]
    end = situation.stream if streamed and situation.stream is not None else situation.plain
    async with (
        FakeProvider(*situation.first, then=situation.then) as one,
        FakeProvider(then=situation.second) as two,
        opened(yaml_of(situation, [one.base_url, two.base_url])) as container,
    ):
        client = container.resolve(ILLMClient, CLIENT)
        heard: list[str] = []
        began = time.monotonic()
        got: LLMResponse[str] | LLMError
        try:
            got, _ = await answer(client, situation.request, streamed=streamed, heard=heard.append)
        except LLMError as error:
            got = error
        took_s = time.monotonic() - began
        judge(end, got, "".join(heard))
        assert (one.stats.requests, two.stats.requests) == end.requests
        assert attempts_in(got.steps) == end.requests
        assert end.least_s <= took_s <= end.most_s


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_an_endpoint_that_flaps_costs_no_call_its_answer(streamed: bool) -> None:
    flapping = [status(500) if number // 4 % 2 else ONE for number in range(400)]
    async with (
        FakeProvider(*flapping, then=ONE) as one,
        FakeProvider(then=TWO) as two,
        opened(yaml_of(SITUATIONS["one 500 is asked again"], [one.base_url, two.base_url])) as container,
    ):
        client = container.resolve(ILLMClient, CLIENT)
        sent = [0, 0]
        for _ in range(60):
            response, said = await answer(client, LLMRequest.of("When does what open?"), streamed=streamed)
            assert response.text == said
            assert said in (ONE.text, TWO.text)
            sent = [sum(both) for both in zip(sent, attempts_in(response.steps), strict=True)]
        assert [one.stats.requests, two.stats.requests] == sent
        assert sum(sent) <= 60 * 2


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_every_attempt_is_accounted_for_in_the_steps_the_tallies_and_the_servers_books(streamed: bool) -> None:
    kinds: list[Queued] = [
        status(500),
        Fault("reset", ONE),
        status(429, 0.01),
        ONE,
        Fault("hang", ONE),
        ONE,
        status(503),
        status(503),
    ]
    situation = SITUATIONS["one 500 is asked again"]
    async with (
        FakeProvider(*kinds * 3, then=ONE) as one,
        FakeProvider(Fault("close_early", TWO), then=TWO) as two,
        opened(yaml_of(situation, [one.base_url, two.base_url])) as container,
    ):
        client = container.resolve(ILLMClient, CLIENT)
        sent, spent = [0, 0], 0
        for _ in range(20):
            response, _ = await answer(client, LLMRequest.of("When does what open?"), streamed=streamed)
            sent = [sum(both) for both in zip(sent, attempts_in(response.steps), strict=True)]
            assert isinstance(response.cost, Cost)
            spent += response.cost.micro_usd
        assert [one.stats.requests, two.stats.requests] == sent
        health = container.health()
        tallies = [health.targets[name] for name in ("endpoint_0/m0", "endpoint_1/m1")]
        assert [tally.answered + tally.failed for tally in tallies] == sent
        assert sum(tally.answered for tally in tallies) == health.clients[CLIENT].answered == 20
        assert health.clients[CLIENT].cost_micro_usd == sum(tally.cost_micro_usd for tally in tallies) == spent
        fine = [request.billed for request in (*one.requests, *two.requests) if request.fault is None]
        assert spent == sum(usage.input_tokens + 10 * usage.output_tokens for usage in fine if usage is not None)
