from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType

import pytest
from typing_extensions import override

from loomwire.application.clients.guarded import GuardedClient
from loomwire.application.guard import Guard, Operation, Outcome
from loomwire.domain.errors import LLMNetworkError, LLMRateLimitError, LoomError, StreamInterruptedError
from loomwire.domain.events import Finished, StreamEvent, TextDelta
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.pricing import Charge, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.testing import RecordingSink, ScriptedClient
from support.chains import HI, BreakingClient, chain_of


class NotingGuard(Guard):
    """Keeps a diary and notes one step with its name."""

    def __init__(self, name: str, diary: list[str], *, notes: bool = True) -> None:
        self.name = name
        self.diary = diary
        self.notes = notes

    @override
    def around(self, operation: Operation) -> AbstractAsyncContextManager[Outcome]:
        return NotingOutcome(self)

    @override
    def __repr__(self) -> str:
        return f"Noting({self.name})"


class NotingOutcome(Outcome, AbstractAsyncContextManager[Outcome]):
    """One run of a noting guard."""

    def __init__(self, guard: NotingGuard) -> None:
        self.guard = guard
        self.noted: Step | None = None

    @override
    async def __aenter__(self) -> Outcome:
        self.guard.diary.append(f"{self.guard.name} in")
        return self

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.guard.diary.append(f"{self.guard.name} out")

    @property
    @override
    def step(self) -> Step | None:
        return self.noted

    @override
    def answered(self, usage: Usage, cost: Charge, model: str) -> None:
        self._note("answered")

    @override
    def failed(self, error: LoomError) -> None:
        self._note("failed")

    def _note(self, outcome: str) -> None:
        self.guard.diary.append(f"{self.guard.name} {outcome}")
        if self.guard.notes:
            self.noted = Step(self.guard.name, "", outcome)


class PlainStream(LLMStream):
    """A host's own stream: it says neither `finished` nor `error`, only `response`."""

    def __init__(self) -> None:
        self.whole: LLMResponse[str] | None = None

    @override
    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        yield TextDelta("Hi")
        self.whole = LLMResponse("Hi", "Hi", "own", "own")
        yield Finished("stop")

    @property
    @override
    def response(self) -> LLMResponse[str]:
        if self.whole is None:
            raise StreamInterruptedError("not read to its end")
        return self.whole


class PlainClient(ILLMClient):
    """A host's own client, written in the shortest way."""

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        return LLMResponse("Hi", "Hi", "own", "own")

    @override
    @asynccontextmanager
    async def stream(self, request: LLMRequest) -> AsyncIterator[LLMStream]:
        yield PlainStream()


def doubly(leaf: ILLMClient, diary: list[str]) -> GuardedClient:
    """Return a client with an outer and an inner guard."""
    return GuardedClient(GuardedClient(leaf, NotingGuard("inner", diary)), NotingGuard("outer", diary))


def layers(steps: tuple[Step, ...]) -> list[tuple[str, str]]:
    """Return who noted what."""
    return [(step.layer, step.outcome) for step in steps]


BOTH_ANSWERED = [("outer", "answered"), ("inner", "answered")]
BOTH_FAILED = [("outer", "failed"), ("inner", "failed")]


async def test_guards_note_their_steps_on_an_answer_outermost_first() -> None:
    diary: list[str] = []
    answer = await doubly(ScriptedClient("Hi"), diary).generate(HI)
    assert layers(answer.steps) == BOTH_ANSWERED
    assert diary == ["outer in", "inner in", "inner answered", "inner out", "outer answered", "outer out"]


async def test_guards_note_their_steps_on_an_error_outermost_first() -> None:
    with pytest.raises(LLMRateLimitError) as caught:
        await doubly(ScriptedClient(LLMRateLimitError("slow down")), []).generate(HI)
    assert layers(caught.value.steps) == BOTH_FAILED


async def test_a_guard_that_notes_nothing_leaves_answers_and_errors_alone() -> None:
    answer = LLMResponse("Hi", "Hi", "p", "m")
    leaf = ScriptedClient(answer, LLMRateLimitError("slow down"), LLMRateLimitError("slow down"))
    client = GuardedClient(leaf, NotingGuard("silent", [], notes=False))
    assert await client.generate(HI) is answer
    with pytest.raises(LLMRateLimitError) as caught:
        await client.generate(HI)
    assert caught.value.steps == ()
    with pytest.raises(LLMRateLimitError) as entering:
        await client.stream(HI).__aenter__()
    assert entering.value.steps == ()


async def test_steps_stand_on_a_streams_response_inside_the_block_and_after_it() -> None:
    diary: list[str] = []
    async with doubly(ScriptedClient("Hi"), diary).stream(HI) as stream:
        _ = [event async for event in stream]
        assert layers(stream.response.steps) == BOTH_ANSWERED
    assert layers(stream.response.steps) == BOTH_ANSWERED
    assert diary.count("inner answered") == diary.count("outer answered") == 1


async def test_steps_stand_on_the_response_when_it_is_first_read_after_the_block() -> None:
    async with doubly(ScriptedClient("Hi"), []).stream(HI) as stream:
        _ = [event async for event in stream]
    assert layers(stream.response.steps) == BOTH_ANSWERED
    assert stream.finished


async def test_steps_stand_on_the_error_of_a_stream_that_broke() -> None:
    diary: list[str] = []
    with pytest.raises(StreamInterruptedError) as caught:
        async with doubly(BreakingClient(), diary).stream(HI) as stream:
            _ = [event async for event in stream]
    assert layers(caught.value.steps) == BOTH_FAILED
    assert stream.error is caught.value
    assert diary[-4:] == ["inner failed", "inner out", "outer failed", "outer out"]


async def test_steps_stand_on_the_error_of_a_stream_that_could_not_be_entered() -> None:
    diary: list[str] = []
    with pytest.raises(LLMNetworkError) as caught:
        await doubly(ScriptedClient(LLMNetworkError("gone")), diary).stream(HI).__aenter__()
    assert layers(caught.value.steps) == BOTH_FAILED
    assert diary[-1] == "outer out"


async def test_a_foreign_error_on_entering_leaves_every_guard_unjudged() -> None:
    diary: list[str] = []
    with pytest.raises(KeyError):
        await doubly(ScriptedClient(KeyError("bug")), diary).stream(HI).__aenter__()
    assert diary == ["outer in", "inner in", "inner out", "outer out"]


async def test_reading_the_response_too_early_fails_and_judges_nobody() -> None:
    diary: list[str] = []
    async with doubly(ScriptedClient("one two"), diary).stream(HI) as stream:
        with pytest.raises(StreamInterruptedError):
            _ = stream.response
        assert not stream.finished
    assert diary == ["outer in", "inner in", "inner out", "outer out"]


async def test_a_hosts_own_client_without_error_and_finished_is_judged_by_its_response() -> None:
    diary: list[str] = []
    client = doubly(PlainClient(), diary)
    async with client.stream(HI) as stream:
        assert [event async for event in stream] == [TextDelta("Hi"), Finished("stop")]
    assert stream.error is None
    assert layers(stream.response.steps) == BOTH_ANSWERED
    assert (await client.generate(HI)).text == "Hi"


async def test_leaving_a_stream_that_was_not_entered_judges_nobody() -> None:
    diary: list[str] = []
    guard = NotingGuard("outer", diary)
    await GuardedClient(ScriptedClient(), guard).stream(HI).__aexit__(None, None, None)
    assert diary == ["outer out"]


async def test_the_attempts_step_names_target_outcome_and_reason() -> None:
    sink = RecordingSink()
    client, _ = chain_of(ScriptedClient("Hi", LLMRateLimitError("slow down")), sinks=[sink])
    (step,) = (await client.generate(HI)).steps
    assert (step.layer, step.target, step.outcome, step.reason) == ("attempt", "vendor/m", "answered", "")
    with pytest.raises(LLMRateLimitError) as caught:
        await client.generate(HI)
    failed, gave_up = caught.value.steps
    assert (gave_up.layer, gave_up.outcome) == ("retry", "attempts_used")
    assert (failed.outcome, failed.reason) == ("failed", "throttled")
