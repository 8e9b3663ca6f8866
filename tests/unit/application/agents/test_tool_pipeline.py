"""A pipeline runs what a model asks for: checked, several at once, in time, and says what became of every call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar

import pytest

from loomwire.application.agents.binding.bound import BoundTool, ToolPolicy
from loomwire.application.agents.outcomes import ToolRun
from loomwire.application.agents.tool_pipeline import OnToolError, ToolPipeline
from loomwire.application.resilience.circuit_breaker import CircuitBreaker
from loomwire.application.state.breaking.permits import CircuitState
from loomwire.domain.errors import (
    CircuitOpenError,
    LLMRateLimitError,
    LLMTimeoutError,
    LLMValidationError,
    ToolExecutionError,
)
from loomwire.domain.faults import ErrorCategory
from loomwire.domain.policies import BreakerPolicy, RetryPolicy
from loomwire.domain.requests import Bound
from loomwire.domain.responses import LLMResponse
from loomwire.domain.tools import Tool
from loomwire.domain.values import ToolCall
from loomwire.infrastructure.outputs.pydantic_schemas import PydanticOutputSchemas
from loomwire.testing import FakeClock

SCHEMAS = PydanticOutputSchemas()
SCHEMAS.schema_for(int)  # pydantic reads files once, which no running loop may do
TWICE = RetryPolicy(attempts=2, base_s=0.0)
WORD: ContextVar[str] = ContextVar("word", default="none")


async def double(n: int) -> int:
    """Double a number."""
    return 2 * n


def calls(*names: str) -> tuple[ToolCall, ...]:
    """Return a call of each tool, without arguments."""
    return tuple(ToolCall(f"c{at}", name, {}) for at, name in enumerate(names))


class Tools:
    """Tools that do as they are told, and what they saw."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.running = self.most = self.ran = self.cancelled = 0
        self.gate = asyncio.Event()
        self.failures: list[Exception] = []

    async def wait(self) -> str:
        """Wait for the gate."""
        self.ran += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return "waited"

    async def nap(self) -> str:
        """Sleep for ten seconds."""
        self.ran += 1
        await self.clock.sleep(10)
        return "slept"

    async def fail(self) -> str:
        """Fail as often as there are failures."""
        self.ran += 1
        if self.failures:
            raise self.failures.pop(0)
        return "well"

    def bound(self, function: Callable[[], object], policy: ToolPolicy | None = None) -> BoundTool:
        """Bind one of these, on the clock of the test."""
        policy = policy or ToolPolicy()
        breaker = CircuitBreaker("tool", policy.breaker, now=self.clock.now, draw=lambda: 0.5)
        return BoundTool.of(function, SCHEMAS, policy=policy, breaker=breaker)

    def pipeline(self, *tools: BoundTool, concurrency: int = 8, on_error: OnToolError = "tell") -> ToolPipeline:
        """Return a pipeline on the clock of the test."""
        return ToolPipeline(*tools, clock=self.clock, concurrency=concurrency, on_error=on_error)


async def begun(work: Coroutine[object, object, ToolRun]) -> asyncio.Task[ToolRun]:
    """Start a run and let it come to its first wait."""
    task = asyncio.create_task(work)
    for _ in range(20):
        await asyncio.sleep(0)
    return task


async def test_the_calls_of_an_answer_are_run_and_answered_in_their_order() -> None:
    tools = Tools()
    pipeline = tools.pipeline(BoundTool.of(double, SCHEMAS))
    asked = tuple(ToolCall(str(n), "double", {"n": n}) for n in range(5))
    run = await pipeline.run(LLMResponse("", "", "p", "m", asked))
    assert [(result.call_id, result.content, result.name) for result in run.results] == [
        (str(n), 2 * n, "double") for n in range(5)
    ]
    assert run.ok
    assert run.errors == ()
    assert [(step.layer, step.target, step.outcome) for step in run.steps] == [("tool", "double", "answered")] * 5
    assert run.message.role == "tool"
    assert repr(pipeline) == "ToolPipeline(double)"
    assert [tool.name for tool in pipeline.tools] == ["double"]


async def test_an_answer_without_calls_runs_nothing() -> None:
    run = await Tools().pipeline().run(LLMResponse("", "", "p", "m"))
    assert (run.outcomes, run.ok) == ((), True)
    with pytest.raises(LLMValidationError):
        _ = run.message


async def test_the_models_mistakes_are_told_to_the_model_and_run_nothing() -> None:
    tools = Tools()
    pipeline = tools.pipeline(BoundTool.of(double, SCHEMAS), tools.bound(tools.fail), on_error="raise")
    cut = ToolCall("c", "double", None, '{"n": 1')
    run = await pipeline.call([ToolCall("a", "sk-4711 drop", {}), ToolCall("b", "double", {"n": "x"}), cut])
    assert [outcome.ended for outcome in run.outcomes] == ["unknown", "invalid", "cut"]
    assert all(result.is_error for result in run.results)
    problem = "- $.n: Input should be a valid integer, unable to parse string as an integer"
    assert [result.content for result in run.results] == [
        "There is no tool of this name. The tools are: double, fail.",
        f"The tool was not called: the arguments do not fit its schema.\n{problem}",
        "The tool was not called: its arguments were cut off, or are no JSON object.",
    ]
    assert [step.target for step in run.steps] == ["***", "double", "double"]
    assert not run.ok
    assert tools.ran == 0


async def test_a_result_that_is_too_large_is_told_to_the_model_and_never_sent() -> None:
    tools = Tools()
    tool = BoundTool.of(double, SCHEMAS, policy=ToolPolicy(result_bytes=1))
    asked = (ToolCall("a", "double", {"n": 4}), ToolCall("b", "double", {"n": 5}))
    run = await tools.pipeline(tool).call(asked)
    assert [result.content for result in run.results] == [8, "The tool failed: the result has 2 bytes, more than 1"]
    assert run.errors[0].hint == "Return less, or raise ToolPolicy.result_bytes."
    with pytest.raises(LLMValidationError, match="result_bytes"):
        ToolPolicy(result_bytes=0)


async def test_a_pipeline_without_tools_says_that_there_are_none() -> None:
    run = await Tools().pipeline().call(calls("gone"))
    assert run.results[0].content == "There is no tool of this name. The tools are: none."


async def test_so_many_tools_run_at_once_and_no_more() -> None:
    tools = Tools()
    task = await begun(tools.pipeline(tools.bound(tools.wait), concurrency=3).call(calls(*["wait"] * 7)))
    assert tools.running == 3
    tools.gate.set()
    assert (await task).ok
    assert (tools.most, tools.ran) == (3, 7)


async def test_a_sync_function_runs_on_a_thread_and_sees_the_context_of_the_call() -> None:
    WORD.set("here")

    def look() -> list[str]:
        return [threading.current_thread().name, WORD.get()]

    tools = Tools()
    run = await tools.pipeline(tools.bound(look)).call(calls("look"))
    content = run.results[0].content
    assert isinstance(content, list)
    assert content[0] != threading.current_thread().name
    assert content[1] == "here"


async def test_a_lambda_around_an_async_function_is_awaited() -> None:
    tools = Tools()
    tool = BoundTool.of(lambda: double(4), SCHEMAS, name="four")
    assert (await tools.pipeline(tool).call(calls("four"))).results[0].content == 8


async def test_a_sync_function_that_raises_stop_iteration_ends_the_call() -> None:
    tools = Tools()

    def exhausted() -> str:
        raise StopIteration

    run = await tools.pipeline(tools.bound(exhausted)).call(calls("exhausted"))
    assert run.results[0].content == "The tool failed: RuntimeError"


async def test_the_model_learns_the_type_of_a_failure_and_the_host_its_cause() -> None:
    tools = Tools()
    cause = ValueError("postgres://user:sk-secret@db")
    tools.failures = [cause]
    run = await tools.pipeline(tools.bound(tools.fail)).call(calls("fail"))
    error = run.errors[0]
    assert run.results[0].content == "The tool failed: ValueError"
    assert run.results[0].is_error
    assert (error.original_error, error.__cause__) == (cause, cause)
    assert error.metadata == {"tool": "fail"}
    assert (error.code, error.category, error.retryable) == ("TOO001", ErrorCategory.INTERNAL, False)
    assert "secret" not in f"{error} {error.to_dict()} {run.steps}"
    assert run.outcomes[0].step.reason == "tool_failed"


async def test_a_tool_can_speak_to_the_model_and_that_is_no_failure_of_the_circuit() -> None:
    tools = Tools()
    tool = tools.bound(tools.fail, ToolPolicy(breaker=BreakerPolicy(consecutive=1)))
    said = ToolExecutionError("there is no city of this name", hint="Ask for another.")
    tools.failures = [said]
    run = await tools.pipeline(tool).call(calls("fail"))
    assert run.results[0].content == "The tool failed: there is no city of this name"
    assert run.errors == (said,)
    assert tool.breaker.state is CircuitState.CLOSED


@pytest.mark.parametrize(
    ("cause", "category", "retryable", "words"),
    [
        (ConnectionError("x"), ErrorCategory.NETWORK, True, "failed: ConnectionError"),
        (TimeoutError("x"), ErrorCategory.TIMEOUT, True, "failed: TimeoutError"),
        (LLMRateLimitError("x", retry_after=3.0), ErrorCategory.RATE_LIMIT, True, "LLMRateLimitError (throttled)"),
    ],
)
async def test_a_failure_keeps_the_category_of_its_cause(
    cause: Exception, category: ErrorCategory, retryable: bool, words: str
) -> None:
    tools = Tools()
    tools.failures = [cause]
    error = (await tools.pipeline(tools.bound(tools.fail)).call(calls("fail"))).errors[0]
    assert (error.category, error.retryable, error.retry_after) == (
        category,
        retryable,
        getattr(cause, "retry_after", None),
    )
    assert words in error.message


async def test_raising_ends_the_other_tools_and_gives_the_host_the_first_error() -> None:
    tools = Tools()
    cause = KeyError("x")
    tools.failures = [cause]
    pipeline = tools.pipeline(tools.bound(tools.wait), tools.bound(tools.fail), on_error="raise")
    with pytest.raises(ToolExecutionError, match="fail failed: KeyError") as caught:
        await pipeline.call(calls("wait", "fail", "wait"))
    assert caught.value.original_error is cause
    assert caught.value.__cause__ is cause
    assert (tools.running, tools.cancelled) == (0, 2)


@pytest.mark.parametrize("on_error", ["tell", "raise"])
async def test_a_tool_that_cancels_itself_has_failed_and_is_not_lost(on_error: OnToolError) -> None:
    tools = Tools()

    async def suicidal() -> str:
        raise asyncio.CancelledError

    pipeline = tools.pipeline(tools.bound(suicidal), tools.bound(tools.fail), on_error=on_error)
    if on_error == "raise":
        with pytest.raises(ToolExecutionError, match="cancelled from inside"):
            await pipeline.call(calls("suicidal", "fail"))
        return
    run = await pipeline.call(calls("suicidal", "fail"))
    assert [result.content for result in run.results] == ["The tool was cancelled from inside", "well"]


async def test_a_tool_is_cancelled_when_its_time_is_over_and_its_circuit_counts_that() -> None:
    tools = Tools()
    tool = tools.bound(tools.wait, ToolPolicy(timeout_s=5, breaker=BreakerPolicy(consecutive=1)))
    task = await begun(tools.pipeline(tool).call(calls("wait")))
    await tools.clock.advance(5)
    outcome = (await task).outcomes[0]
    assert outcome.result.content == "The tool took longer than 5 s"
    assert outcome.error is not None
    assert (outcome.error.category, outcome.error.retryable) == (ErrorCategory.TIMEOUT, True)
    assert (outcome.latency_s, tools.cancelled) == (5.0, 1)
    assert tool.breaker.state is CircuitState.OPEN


async def test_a_sync_function_that_takes_too_long_is_left_behind() -> None:
    tools = Tools()
    go = threading.Event()
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stuck() -> None:
        go.wait(10)
        loop.call_soon_threadsafe(done.set)

    task = await begun(tools.pipeline(tools.bound(stuck, ToolPolicy(timeout_s=1))).call(calls("stuck")))
    await tools.clock.advance(1)
    assert (await task).results[0].content == "The tool took longer than 1 s"
    go.set()
    await done.wait()


@pytest.mark.parametrize("failure", [ConnectionError("x"), TimeoutError("x"), LLMRateLimitError("x")])
async def test_only_a_tool_that_says_so_is_called_again(failure: Exception) -> None:
    for policy, ran, ended in ((ToolPolicy(), 1, "failed"), (ToolPolicy(retries=TWICE), 2, "answered")):
        tools = Tools()
        tools.failures = [failure]
        task = await begun(tools.pipeline(tools.bound(tools.fail, policy)).call(calls("fail")))
        await tools.clock.advance(2)
        outcome = (await task).outcomes[0]
        assert (tools.ran, outcome.tries, outcome.ended) == (ran, ran, ended)


async def test_a_tool_that_may_be_repeated_is_not_after_an_error_that_stays() -> None:
    tools = Tools()
    tools.failures = [ValueError("x")]
    run = await tools.pipeline(tools.bound(tools.fail, ToolPolicy(retries=TWICE))).call(calls("fail"))
    assert (tools.ran, run.outcomes[0].ended) == (1, "failed")


async def test_an_open_circuit_lets_no_call_through_and_says_so() -> None:
    tools = Tools()
    policy = ToolPolicy(retries=TWICE, breaker=BreakerPolicy(consecutive=2, open_s=5))
    tools.failures = [ConnectionError("x")] * 2
    pipeline = tools.pipeline(tools.bound(tools.fail, policy))
    await pipeline.call(calls("fail"))
    outcome = (await pipeline.call(calls("fail"))).outcomes[0]
    assert outcome.result.content == "The tool failed too often and is left alone for a while"
    assert (tools.ran, outcome.tries) == (2, 0)
    assert outcome.error is not None
    assert isinstance(outcome.error.original_error, CircuitOpenError)
    assert outcome.error.category is ErrorCategory.TEMPORARY
    assert outcome.error.retry_after is not None
    await tools.clock.advance(7)
    assert (await pipeline.call(calls("fail"))).ok


@pytest.mark.parametrize(
    ("bound", "deadline_s"), [(Bound(4.0), None), (None, 4.0), (Bound(9.0), 4.0), (Bound(4.0), 9.0)]
)
async def test_the_deadline_ends_every_tool_and_is_the_callers_error(
    bound: Bound | None, deadline_s: float | None
) -> None:
    tools = Tools()
    tool = tools.bound(tools.wait)
    task = await begun(tools.pipeline(tool).call(calls("wait", "wait"), bound=bound, deadline_s=deadline_s))
    await tools.clock.advance(3.9)
    assert tools.running == 2
    await tools.clock.advance(0.1)
    with pytest.raises(LLMTimeoutError) as caught:
        await task
    assert caught.value.reason == "deadline"
    assert (tools.running, tools.cancelled, tool.breaker.state) == (0, 2, CircuitState.CLOSED)


async def test_no_further_try_is_made_for_which_no_time_is_left() -> None:
    tools = Tools()
    tools.failures = [LLMRateLimitError("x", retry_after=20.0)]
    tool = tools.bound(tools.fail, ToolPolicy(retries=RetryPolicy(attempts=3)))
    run = await tools.pipeline(tool).call(calls("fail"), deadline_s=10)
    assert (tools.ran, run.outcomes[0].ended, tools.clock.waiting) == (1, "failed", 0)


async def test_cancellation_ends_every_tool_and_counts_for_nobody() -> None:
    tools = Tools()
    tool = tools.bound(tools.wait, ToolPolicy(breaker=BreakerPolicy(consecutive=1)))
    before = asyncio.all_tasks()
    task = await begun(tools.pipeline(tool, concurrency=2).call(calls("wait", "wait", "wait"), deadline_s=60))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (tools.running, tools.ran, tools.cancelled) == (0, 2, 2)
    assert asyncio.all_tasks() == before
    assert tools.clock.waiting == 0
    assert tool.breaker.status.state is CircuitState.CLOSED


@pytest.mark.parametrize("turns", range(12))
async def test_cancelled_at_any_turn_of_the_loop_nothing_is_left_behind(turns: int) -> None:
    tools = Tools()
    pipeline = tools.pipeline(tools.bound(tools.wait), tools.bound(tools.nap, ToolPolicy(timeout_s=3)))
    before = asyncio.all_tasks()
    task = asyncio.create_task(pipeline.call(calls("wait", "nap"), deadline_s=60))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
    assert (tools.running, tools.clock.waiting) == (0, 0)


def test_two_tools_of_one_name_and_no_room_to_run_are_refused() -> None:
    tools = Tools()
    with pytest.raises(LLMValidationError, match="same name"):
        tools.pipeline(BoundTool.given(Tool("fail"), tools.fail), tools.bound(tools.fail))
    with pytest.raises(LLMValidationError, match="concurrency"):
        tools.pipeline(concurrency=0)


async def test_a_part_of_a_pipeline_has_the_same_circuits_and_settings() -> None:
    tools = Tools()
    whole = tools.pipeline(tools.bound(tools.fail), tools.bound(tools.wait), on_error="raise")
    part = whole.only(["fail"])
    tools.failures = [ValueError("x")]
    assert repr(part) == "ToolPipeline(fail)"
    with pytest.raises(ToolExecutionError):
        await part.call(calls("fail"))
    assert (await part.call(calls("wait"))).outcomes[0].ended == "unknown"
    with pytest.raises(KeyError):
        whole.only(["gone"])
