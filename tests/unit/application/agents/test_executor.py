"""An agent asks, runs tools and asks again under one deadline, and a run without an answer is never taken for one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from loomwire.application.agents.binding.bound import BoundTool
from loomwire.application.agents.blocking import SyncAgentExecutor
from loomwire.application.agents.executor import AgentExecutor
from loomwire.application.agents.limits import AgentLimits
from loomwire.application.agents.runs import AgentRun
from loomwire.application.agents.source import AgentSource, OneClient
from loomwire.application.agents.tool_pipeline import OnToolError, ToolPipeline
from loomwire.application.clients.typed import TypedLLMClient
from loomwire.application.composed import snapshot_of
from loomwire.application.generation import build_generation
from loomwire.application.loop_thread import LoopThread
from loomwire.application.registry import ClientRegistry
from loomwire.domain.errors import (
    AgentStoppedError,
    LLMTemporaryError,
    LLMTimeoutError,
    LLMValidationError,
    OutputInvalidError,
    ToolExecutionError,
)
from loomwire.domain.messages import Message, Reasoning, ToolResult
from loomwire.domain.policies import TimeoutPolicy
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.pricing import NO_USAGE, Charge, Cost, Prices, Unpriced, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import LLMRequest, OutputSpec
from loomwire.domain.responses import Finish, LLMResponse
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.outputs.pydantic_schemas import PydanticOutputSchemas
from loomwire.testing import FakeClock, ScriptedClient
from support.chains import parts, target

SCHEMAS = PydanticOutputSchemas()
SCHEMAS.schema_for(int)  # pydantic reads files once, which no running loop may do
ASK = LLMRequest.of("What should I wear in Rome?")
USED = Usage(10, 5)
SENT = Step("attempt", "p/m", "answered")
SPENT: JSON = {"answers": 1, "usage": USED.to_dict(), "cost_usd": "0.000002"}


def said(
    text: str = "",
    *calls: ToolCall,
    finish: Finish | None = None,
    usage: Usage = USED,
    cost: Charge = Cost(2),
    steps: tuple[Step, ...] = (SENT,),
) -> LLMResponse[str]:
    """Return an answer of a model."""
    end: Finish = finish or ("tool_calls" if calls else "stop")
    return LLMResponse(text, text, "p", "m", calls, finish=end, usage=usage, cost=cost, steps=steps)


def look(city: str = "Rome", call_id: str = "c1") -> ToolCall:
    """Return a call of the tool below."""
    return ToolCall(call_id, "look", {"city": city})


def in_force(leaf: ILLMClient, clock: FakeClock, *, free: bool = False, prices: Prices | None = None) -> ClientRegistry:
    """Return a registry whose `planner` is a whole chain over the leaf."""
    snapshot = snapshot_of({"planner": replace(target(timeouts=TimeoutPolicy(total_s=50)), free=free, prices=prices)})
    return ClientRegistry(build_generation(1, snapshot, parts(leaf, clock)))


class World:
    """A scripted model, one tool, and time that stands still."""

    def __init__(self, *script: LLMResponse[str] | BaseException, then: LLMResponse[str] | None = None) -> None:
        self.clock = FakeClock()
        self.client = ScriptedClient(*script, then=then, clock=self.clock)
        self.looked: list[str] = []
        self.failure: Exception | None = None
        self.takes_s = 0.0

    async def look(self, city: str) -> str:
        """Look out of the window."""
        self.looked.append(city)
        await self.clock.sleep(self.takes_s)
        if self.failure is not None:
            raise self.failure
        return f"Sunny in {city}."

    def tools(self, on_error: OnToolError = "tell") -> ToolPipeline:
        """Return the tool in a pipeline."""
        return ToolPipeline(BoundTool.of(self.look, SCHEMAS), clock=self.clock, on_error=on_error)

    def agent(
        self,
        limits: AgentLimits | None = None,
        *,
        client: ILLMClient | AgentSource | None = None,
        on_error: OnToolError = "tell",
        on_turn: Callable[[AgentRun[str]], None] | None = None,
    ) -> AgentExecutor:
        """Return the agent."""
        asked = OneClient(self.client, total_s=60, priced=True) if client is None else client
        return AgentExecutor(asked, self.tools(on_error), limits or AgentLimits(), on_turn=on_turn)

    def typed(self) -> TypedLLMClient[list[str]]:
        """Return the same model for objects."""
        handle = in_force(self.client, self.clock).client("planner")
        return TypedLLMClient(handle, SCHEMAS.schema_for(list[str]), self.clock, mode="prompted")


async def test_the_model_gets_what_its_tools_said_until_it_answers() -> None:
    world = World(said("Let me see.", look()), said("", look("Oslo", "c2"), look("Bern", "c3")), said("A coat."))
    run = await world.agent().run(ASK)
    assert (run.output, run.ended, run.pending) == ("A coat.", "answered", ())
    assert world.looked == ["Rome", "Oslo", "Bern"]
    first, second, third = world.client.requests
    assert [tool.name for tool in first.tools] == ["look"]
    assert second.messages == (
        *ASK.messages,
        Message.assistant("Let me see.", tool_calls=[look()]),
        Message.tool(ToolResult("c1", "Sunny in Rome.", "look")),
    )
    assert third.messages == run.messages[:-1]
    assert run.messages[-1] == Message.assistant("A coat.")
    assert (run.usage, run.cost) == (Usage(30, 15), Cost(6))
    assert [len(turn.outcomes) for turn in run.turns] == [1, 2, 0]
    assert [step.layer for step in run.steps] == ["attempt", "tool", "attempt", "tool", "tool", "attempt"]
    assert run.answer is not None
    assert run.answer.usage == USED
    assert run.spent == {"answers": 3, "usage": run.usage.to_dict(), "cost_usd": "0.000006", "ended": "answered"}


async def test_reasoning_and_signatures_go_back_as_they_came() -> None:
    thought = Reasoning("Hm.", signature="s1", id="r1", origin="anthropic")
    call = replace(look(), signature="s2")
    world = World(replace(said("", call), reasoning=(thought,)), said("A coat."))
    await world.agent().run(ASK)
    assert world.client.requests[1].messages[1].parts == (thought, call)


async def test_the_same_bound_holds_for_every_question() -> None:
    world = World(said("", look()), said("A coat."))
    world.takes_s = 7.0
    task = asyncio.create_task(world.agent().run(replace(ASK, deadline_s=20)))
    await world.clock.advance(7)
    await task
    assert [request.bound and request.bound.at for request in world.client.requests] == [20.0, 20.0]


async def test_retries_of_all_answers_count_together() -> None:
    retried = (SENT, replace(SENT, layer="retry"), SENT, SENT)
    world = World(said("", look(), steps=retried), said("", look("Oslo")), said("A coat."))
    await world.agent().run(ASK)
    assert [request.bound and request.bound.sent for request in world.client.requests] == [0, 2, 2]


@pytest.mark.parametrize(
    ("asked", "then"), [("required", "auto"), (ToolNamed("look"), "auto"), ("auto", "auto"), ("none", "none")]
)
async def test_a_choice_that_forces_a_call_is_obeyed_once(asked: ToolNamed, then: str) -> None:
    world = World(said("", look()), said("A coat."))
    request = replace(ASK, tools=world.tools().tools, tool_choice=asked)
    await world.agent().run(request)
    assert [request.tool_choice for request in world.client.requests] == [asked, then]


async def test_a_request_can_offer_fewer_tools_and_no_others_are_run() -> None:
    world = World(said("", look(), ToolCall("c2", "other", {})), said("A coat."))
    other = BoundTool.given(Tool("other"), world.look)
    tools = ToolPipeline(BoundTool.of(world.look, SCHEMAS), other, clock=world.clock)
    run = await AgentExecutor(world.client, tools).run(replace(ASK, tools=(other.tool,)))
    assert [tool.name for tool in world.client.requests[0].tools] == ["other"]
    assert [outcome.ended for outcome in run.turns[0].outcomes] == ["unknown", "failed"]
    assert world.looked == []


async def test_a_tool_that_nobody_can_run_is_refused_before_anything_is_sent() -> None:
    world = World()
    with pytest.raises(LLMValidationError, match="nobody here can run the request's tools: strange"):
        await world.agent().run(replace(ASK, tools=(Tool("strange"),)))


async def test_at_the_limit_of_steps_nothing_is_run_that_nobody_would_read() -> None:
    world = World(then=said("", look()))
    run = await world.agent(AgentLimits(steps=2)).run(ASK)
    assert (run.ended, run.answer, run.pending, world.looked) == ("step_limit", None, (look(),), ["Rome"])
    with pytest.raises(AgentStoppedError, match="the limit of steps was reached") as caught:
        _ = run.output
    assert (caught.value.code, caught.value.steps) == ("TOO002", run.steps)
    assert caught.value.metadata == run.spent
    assert run.spent["answers"] == 2


async def test_a_run_goes_on_where_another_one_ended() -> None:
    world = World(said("", look()), said("A coat."))
    stopped = await world.agent(AgentLimits(steps=1)).run(ASK)
    run = await world.agent().run(replace(ASK, messages=stopped.messages))
    assert (run.output, world.looked) == ("A coat.", ["Rome"])
    assert [turn.response is None for turn in run.turns] == [True, False]
    assert run.spent["answers"] == 1


@pytest.mark.parametrize(
    ("limits", "usage", "ended", "asked"),
    [
        (AgentLimits(tokens=30), USED, "token_limit", 2),
        (AgentLimits(tokens=31), USED, "token_limit", 3),
        (AgentLimits(tokens=150), NO_USAGE, "token_limit", 3),
        (AgentLimits(cost_usd=Decimal("0.000004")), USED, "cost_limit", 2),
        (AgentLimits(cost_usd=Decimal("0.000005")), USED, "cost_limit", 3),
    ],
)
async def test_the_answer_that_passes_a_limit_is_the_last(
    limits: AgentLimits, usage: Usage, ended: str, asked: int
) -> None:
    world = World(*(said("", look(f"city {n}"), usage=usage) for n in range(9)))
    run = await world.agent(limits).run(ASK)
    assert (run.ended, len(world.client.requests), len(world.looked)) == (ended, asked, asked - 1)


async def test_an_answer_that_passes_a_limit_is_an_answer_all_the_same() -> None:
    world = World(said("A coat."))
    limits = AgentLimits(steps=1, tokens=1, cost_usd=Decimal("0.000001"))
    assert (await world.agent(limits).run(ASK)).output == "A coat."


async def test_a_cost_limit_without_prices_is_refused_before_anything_is_spent() -> None:
    world = World()
    with pytest.raises(LLMValidationError, match="nobody knows what a model of this client costs"):
        await world.agent(AgentLimits(cost_usd=Decimal(1)), client=world.client).run(ASK)
    assert world.client.requests == ()


async def test_an_answer_whose_cost_nobody_knows_ends_a_run_with_a_cost_limit() -> None:
    world = World(said("", look(), cost=Unpriced("no_usage")))
    run = await world.agent(AgentLimits(cost_usd=Decimal(1))).run(ASK)
    assert (run.ended, world.looked, run.spent["cost_usd"]) == ("unpriced", [], None)


async def test_the_same_call_is_run_so_often_then_told_then_the_end() -> None:
    calls = [ToolCall(f"c{n}", "look", {"city": "Rome"}) for n in range(5)]
    world = World(*(said("", call) for call in calls))
    run = await world.agent(AgentLimits(repeats=2)).run(ASK)
    assert (run.ended, world.looked) == ("repeating", ["Rome", "Rome"])
    assert [[each.ended for each in turn.outcomes] for turn in run.turns] == [
        ["answered"],
        ["answered"],
        ["repeated"],
        [],
    ]
    with pytest.raises(AgentStoppedError, match="repeats the same tool call"):
        _ = run.output


async def test_of_an_answer_that_asks_for_more_calls_than_are_left_none_is_run() -> None:
    more = said("", look("Oslo", "c2"), look("Bern", "c3"))
    world = World(said("", look()), more)
    run = await world.agent(AgentLimits(calls=2)).run(ASK)
    assert (run.ended, run.pending, world.looked) == ("call_limit", more.tool_calls, ["Rome"])


async def test_a_call_with_its_keys_in_another_order_is_the_same_and_a_cut_one_counts_too() -> None:
    one, other = ToolCall("1", "look", {"a": 1, "b": 2}), ToolCall("2", "look", {"b": 2, "a": 1})
    cut = ToolCall("3", "look", None, '{"ci')
    world = World(said("", one, cut), said("", other, look()), said("", cut), said("Stop."))
    run = await world.agent(AgentLimits(repeats=1)).run(ASK)
    ends = [[each.ended for each in turn.outcomes] for turn in run.turns]
    assert ends == [["invalid", "cut"], ["repeated", "answered"], ["repeated"], []]
    assert run.output == "Stop."


@pytest.mark.parametrize(
    ("last", "ended", "words"),
    [
        (said("A co", finish="length"), "cut", "was cut by max_tokens"),
        (said("", finish="content_filter"), "filtered", "content filter"),
        (said("A", finish="error"), "incomplete", "incomplete"),
        (replace(said(), refusal="No."), "refused", "refused to answer"),
        (replace(said("Later."), degraded=True), "degraded", "no model answered"),
    ],
)
async def test_a_last_answer_that_is_none_is_never_taken_for_one(
    last: LLMResponse[str], ended: str, words: str
) -> None:
    run = await World(said("", look()), last).agent().run(ASK)
    assert (run.ended, run.answer, run.turns[-1].response) == (ended, None, last)
    with pytest.raises(AgentStoppedError, match=words):
        _ = run.output


async def test_the_words_of_a_stand_in_are_never_put_into_the_models_mouth() -> None:
    world = World(said("", look()), replace(said("Later."), degraded=True), said("A coat."))
    first = await world.agent().run(ASK)
    assert [message.role for message in first.messages] == ["user", "assistant", "tool"]
    assert (first.turns[-1].response, first.spent["answers"]) == (replace(said("Later."), degraded=True), 1)
    assert (await world.agent().run(LLMRequest(first.messages))).output == "A coat."


async def test_an_object_of_a_stand_in_is_no_answer_of_a_run() -> None:
    world = World(said("A coat."), replace(said('{"value": []}'), degraded=True))
    run = await world.agent().run_typed(ASK, world.typed())
    assert (run.ended, run.answer, run.messages[-1]) == ("degraded", None, Message.assistant("A coat."))
    with pytest.raises(AgentStoppedError, match="no model answered"):
        _ = run.output


async def test_a_model_that_pauses_is_asked_to_go_on() -> None:
    world = World(said("Let me", finish="pause"), said("A coat."))
    run = await world.agent().run(ASK)
    assert run.output == "A coat."
    assert world.client.requests[1].messages[-1] == Message.assistant("Let me")
    world = World(said("Let me", finish="pause"))
    assert (await world.agent(AgentLimits(steps=1)).run(ASK)).ended == "step_limit"


async def test_a_failing_tool_is_told_to_the_model() -> None:
    world = World(said("", look()), said("No idea."))
    world.failure = ValueError("sk-secret")
    run = await world.agent().run(ASK)
    told = world.client.requests[1].messages[-1].parts[0]
    assert told == ToolResult("c1", "The tool failed: ValueError", "look", is_error=True)
    assert run.turns[0].outcomes[0].error is not None


async def test_a_failing_tool_ends_the_run_when_the_host_says_so_and_tells_what_was_spent() -> None:
    world = World(said("", look()))
    world.failure = ValueError("x")
    with pytest.raises(ToolExecutionError) as caught:
        await world.agent(on_error="raise").run(ASK)
    assert caught.value.original_error is world.failure
    assert caught.value.metadata == {"tool": "look", "spent": SPENT}
    assert caught.value.steps == (SENT,)


async def test_a_model_that_cannot_be_asked_ends_the_run_and_tells_what_was_spent() -> None:
    world = World(said("", look()), LLMTemporaryError("down").with_step(replace(SENT, outcome="failed")))
    with pytest.raises(LLMTemporaryError) as caught:
        await world.agent().run(ASK)
    assert caught.value.metadata == {"spent": SPENT}
    assert [(step.layer, step.outcome) for step in caught.value.steps] == [
        ("attempt", "answered"),
        ("tool", "answered"),
        ("attempt", "failed"),
    ]


async def test_nothing_was_spent_when_the_first_question_fails() -> None:
    with pytest.raises(LLMTemporaryError) as caught:
        await World(LLMTemporaryError("down")).agent().run(ASK)
    assert caught.value.metadata == {}


@pytest.mark.parametrize("deadline_s", [None, 30.0])
async def test_the_deadline_ends_model_and_tools_alike(deadline_s: float | None) -> None:
    world = World(said("", look()))
    world.takes_s = 100.0
    task = asyncio.create_task(world.agent().run(replace(ASK, deadline_s=deadline_s)))
    await world.clock.advance(deadline_s or 60)
    with pytest.raises(LLMTimeoutError) as caught:
        await task
    assert (caught.value.reason, world.clock.waiting) == ("deadline", 0)
    assert caught.value.metadata == {"spent": SPENT}


async def test_an_observer_sees_every_turn_and_what_it_raises_ends_the_run() -> None:
    seen: list[AgentRun[str]] = []
    world = World(said("", look()), said("A coat."))
    run = await world.agent(on_turn=seen.append).run(ASK)
    assert [(each.ended, len(each.messages)) for each in seen] == [("running", 2), ("running", 3), ("running", 4)]
    assert seen[-1].messages == run.messages
    with pytest.raises(AgentStoppedError, match="goes on"):
        _ = seen[0].output

    def refuse(_: AgentRun[str]) -> None:
        raise KeyError("disk full")

    with pytest.raises(KeyError):
        await World(said("A coat.")).agent(on_turn=refuse).run(ASK)


@pytest.mark.parametrize("turns", range(0, 40, 2))
async def test_cancelled_at_any_turn_of_the_loop_nothing_is_left_behind(turns: int) -> None:
    world = World(then=said("", look()))
    world.takes_s = 1000.0
    registry = in_force(world.client, world.clock)
    before = asyncio.all_tasks()
    task = asyncio.create_task(world.agent(client=registry.client("planner")).run(replace(ASK, deadline_s=60)))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
    assert (world.clock.waiting, leases_of(registry)) == (0, 0)


def leases_of(registry: ClientRegistry) -> int:
    """Return how many calls hold the generation in force."""
    return registry.generation.leases


async def test_an_answer_comes_as_an_object_after_one_more_question() -> None:
    world = World(said("", look()), said("A coat and a hat."), said('{"value": ["coat", "hat"]}'))
    run = await world.agent().run_typed(ASK, world.typed())
    assert (run.output, run.ended, run.usage, run.cost) == (["coat", "hat"], "answered", Usage(30, 15), Cost(6))
    last = world.client.requests[-1]
    assert (last.tool_choice, [tool.name for tool in last.tools]) == ("none", ["look"])
    assert last.messages[3] == Message.assistant("A coat and a hat.")
    assert last.messages[4].text.startswith("Now give this answer in the form that is asked for.")
    assert run.messages[-1] == Message.assistant('{"value": ["coat", "hat"]}')
    assert len(run.steps) >= 4


async def test_without_an_answer_nobody_is_asked_for_an_object() -> None:
    world = World(then=said("", look()))
    run = await world.agent(AgentLimits(steps=1)).run_typed(ASK, world.typed())
    assert (run.ended, run.answer, len(world.client.requests)) == ("step_limit", None, 1)
    world = World(said("A coat."))
    run = await world.agent(AgentLimits(steps=1)).run_typed(ASK, world.typed())
    assert (run.ended, len(world.client.requests)) == ("step_limit", 1)


async def test_an_object_that_does_not_fit_tells_what_the_whole_run_spent() -> None:
    world = World(said("A coat."), then=said("no JSON"))
    with pytest.raises(OutputInvalidError) as caught:
        await world.agent().run_typed(ASK, world.typed())
    assert caught.value.metadata["spent"] == SPENT
    assert len(caught.value.steps) >= 3


async def test_a_typed_run_refuses_what_leaves_no_room_for_the_object_before_it_asks() -> None:
    world = World()
    with pytest.raises(LLMValidationError, match="output"):
        await world.agent().run_typed(replace(ASK, output=OutputSpec()), world.typed())
    with pytest.raises(LLMValidationError, match="mode 'tool'"):
        await world.agent().run_typed(ASK, replace(world.typed(), mode="tool"))
    assert world.client.requests == ()


async def test_a_run_with_a_client_of_a_container_keeps_to_its_generation_and_total_time() -> None:
    world = World(said("", look()), said("A coat."))
    registry = in_force(world.client, world.clock)
    run = await world.agent(client=registry.client("planner")).run(ASK)
    assert run.output == "A coat."
    assert leases_of(registry) == 0
    assert [request.bound and request.bound.at for request in world.client.requests] == [50.0, 50.0]


@pytest.mark.parametrize(("free", "prices"), [(True, None), (False, Prices.per_mtok(Decimal(1), Decimal(2)))])
async def test_a_client_whose_models_have_prices_can_have_a_cost_limit(free: bool, prices: Prices | None) -> None:
    world = World(said("A coat."))
    limits = AgentLimits(cost_usd=Decimal(1))
    with pytest.raises(LLMValidationError, match="costs"):
        await world.agent(limits, client=in_force(world.client, world.clock).client("planner")).run(ASK)
    priced = in_force(world.client, world.clock, free=free, prices=prices).client("planner")
    assert (await world.agent(limits, client=priced).run(ASK)).output == "A coat."


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("steps", lambda: AgentLimits(steps=0)),
        ("tokens", lambda: AgentLimits(tokens=0)),
        ("calls", lambda: AgentLimits(calls=0)),
        ("repeats", lambda: AgentLimits(repeats=0)),
        ("cost_usd", lambda: AgentLimits(cost_usd=Decimal(0))),
        ("cost_usd", lambda: AgentLimits(cost_usd=Decimal("NaN"))),
    ],
)
def test_limits_below_which_nothing_is_possible_are_refused(name: str, made: Callable[[], AgentLimits]) -> None:
    with pytest.raises(LLMValidationError, match=f"limits.{name} must be a positive number"):
        made()


def test_money_is_counted_in_millionths() -> None:
    assert AgentLimits(cost_usd=Decimal("0.1234567")).cost_micro_usd == 123456
    assert AgentLimits().cost_micro_usd is None


def test_blocking_code_has_a_twin_of_its_own() -> None:
    world = World(said("", look()), said("A coat."), said("A coat."), said('{"value": ["coat"]}'))
    thread = LoopThread()
    agent = SyncAgentExecutor(world.agent(), thread)
    assert agent.run(ASK).output == "A coat."
    assert agent.run_typed(ASK, world.typed()).output == ["coat"]
    assert repr(agent).startswith("Sync > AgentExecutor(ToolPipeline(look), AgentLimits(")
    thread.close(nothing)


async def nothing() -> None:
    """Say nothing at the end."""


def test_what_a_run_spent_can_be_logged() -> None:
    assert json.loads(json.dumps(SPENT)) == SPENT
