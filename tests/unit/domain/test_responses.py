"""Answers: the promised fields, steps on the way up, and JSON."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, fields

import pytest

from loomwire.domain.messages import Message, Reasoning, Text
from loomwire.domain.pricing import NO_USAGE, Cost, Unpriced, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import ToolCall

CALL = ToolCall("c1", "weather", {"city": "Paris"})
THOUGHT = Reasoning("hm", signature="opaque")
STEP = Step("attempt", "openai/gpt-5-mini", "answered", latency_s=0.25)
FULL = LLMResponse(
    output="Hi",
    text="Hi",
    provider="openai",
    model="gpt-5-mini-2026",
    tool_calls=(CALL,),
    reasoning=(THOUGHT,),
    finish="tool_calls",
    usage=Usage(10, 5, reasoning_tokens=2),
    cost=Cost(1_500_000),
    request_id="req_1",
    response_id="resp_1",
    finish_wire="stop",
    refusal="no",
    steps=(STEP,),
    complete=False,
    cached=True,
)


def test_an_answer_has_the_promised_fields() -> None:
    promised = (
        "output text tool_calls reasoning finish usage cost provider model request_id steps degraded cached emulated"
    )
    assert set(promised.split()) <= {f.name for f in fields(LLMResponse)}


def test_nothing_is_invented_for_what_the_wire_did_not_say() -> None:
    bare = LLMResponse("", "", "p", "m")
    assert (bare.finish, bare.usage, bare.cost) == (None, NO_USAGE, Unpriced("no_price"))
    assert (bare.request_id, bare.response_id, bare.finish_wire, bare.refusal, bare.steps) == (
        None,
        None,
        None,
        None,
        (),
    )
    assert (bare.complete, bare.degraded, bare.cached, bare.emulated) == (True, False, False, False)


def test_an_answer_is_frozen_and_can_be_made_with_its_type_named() -> None:
    with pytest.raises(FrozenInstanceError):
        FULL.__setattr__("text", "other")
    assert LLMResponse[int](5, "5", "p", "m").output == 5


def test_a_step_goes_in_front_and_nothing_else_changes() -> None:
    outer = Step("call", outcome="answered")
    noted = FULL.with_step(outer)
    assert noted.steps == (outer, STEP)
    assert FULL.steps == (STEP,)
    differing = [f.name for f in fields(FULL) if getattr(noted, f.name) != getattr(FULL, f.name)]
    assert differing == ["steps"]


def test_a_typed_client_replaces_the_output_only() -> None:
    typed = FULL.with_output(42)
    assert typed.output == 42
    differing = [f.name for f in fields(FULL) if getattr(typed, f.name) != getattr(FULL, f.name)]
    assert differing == ["output"]
    assert typed.with_output("Hi") == FULL


def test_the_answer_goes_back_as_the_assistants_message_with_its_thinking_and_calls() -> None:
    assert FULL.message == Message("assistant", (THOUGHT, Text("Hi"), CALL))
    assert LLMResponse("", "", "p", "m").message == Message.assistant("")


def test_an_answer_is_json_in_a_fixed_shape() -> None:
    assert json.loads(json.dumps(FULL.to_dict())) == {
        "schema": "loomwire/response/1",
        "text": "Hi",
        "tool_calls": [{"id": "c1", "name": "weather", "arguments": {"city": "Paris"}, "raw_arguments": ""}],
        "finish": "tool_calls",
        "finish_wire": "stop",
        "refusal": "no",
        "complete": False,
        "usage": {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
            "reasoning_tokens": 2,
            "estimated": False,
            "known": True,
        },
        "cost_usd": "1.5",
        "provider": "openai",
        "model": "gpt-5-mini-2026",
        "request_id": "req_1",
        "response_id": "resp_1",
        "steps": [STEP.to_dict()],
        "degraded": False,
        "cached": True,
        "emulated": False,
    }


def test_an_unknown_cost_is_null_and_never_nothing() -> None:
    assert LLMResponse("", "", "p", "m").to_dict()["cost_usd"] is None
    assert LLMResponse("", "", "p", "m", cost=Cost(0)).to_dict()["cost_usd"] == "0"


def test_answers_are_values_that_pickle_and_copy() -> None:
    for again in (pickle.loads(pickle.dumps(FULL)), copy.deepcopy(FULL)):
        assert again == FULL
