"""Requests: what is refused before money is spent, and how parameters and bounds are filled in."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Literal, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.messages import Image, Message, Text
from loomwire.domain.requests import NO_PARAMETERS, Bound, LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool, ToolNamed

Range: TypeAlias = tuple[float, float]

# requirements.md A1 and the docstring of Parameters.
RANGES: Mapping[str, Range] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "max_tokens": (1, math.inf),
}
HELLO = (Message.user("Hello"),)
PICTURE = Image(b"png")

PARAMETERS = st.builds(
    Parameters,
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    max_tokens=st.none() | st.integers(1, 10**6),
    stop=st.lists(st.text(min_size=1, max_size=3), max_size=2).map(tuple),
    seed=st.none() | st.integers(),
    presence_penalty=st.none() | st.floats(-2, 2),
    frequency_penalty=st.none() | st.floats(-2, 2),
    reasoning_effort=st.none() | st.sampled_from(["none", "minimal", "low", "medium", "high"]),
)
REQUESTS = st.builds(
    LLMRequest,
    messages=st.just(HELLO),
    parameters=PARAMETERS,
    deadline_s=st.none() | st.floats(0.001, 1e6),
    tenant=st.none() | st.text(max_size=3),
    tags=st.frozensets(st.text(max_size=3), max_size=2),
    extra=st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    bound=st.none() | st.builds(Bound, st.floats(0, 1e6)),
)


def given_values(parameters: Parameters) -> dict[str, object]:
    """Return the model of parameters: a dict of what was given."""
    pairs = ((f.name, getattr(parameters, f.name)) for f in fields(parameters))
    return {name: value for name, value in pairs if value not in (None, ())}


@given(PARAMETERS, PARAMETERS)
def test_parameters_over_defaults_are_a_dict_merge_of_what_was_given(own: Parameters, defaults: Parameters) -> None:
    merged = own.over(defaults)
    assert given_values(merged) == given_values(defaults) | given_values(own)


@given(PARAMETERS, PARAMETERS, PARAMETERS)
def test_filling_gaps_in_two_steps_or_in_one_is_the_same(a: Parameters, b: Parameters, c: Parameters) -> None:
    assert a.over(b).over(c) == a.over(b.over(c))


@given(PARAMETERS)
def test_nothing_given_changes_nothing_and_copies_nothing(own: Parameters) -> None:
    assert NO_PARAMETERS.over(own) is own
    assert own.over(NO_PARAMETERS) == own
    assert own.over(own) is own


def test_parameters_say_nothing_unless_they_are_told() -> None:
    unset = dict.fromkeys([f.name for f in fields(Parameters)]) | {"stop": ()}
    assert {f.name: getattr(NO_PARAMETERS, f.name) for f in fields(Parameters)} == unset


def test_zero_is_a_value_and_no_gap() -> None:
    merged = Parameters(temperature=0.0, seed=0, presence_penalty=0.0).over(
        Parameters(temperature=1.0, seed=7, presence_penalty=1.0, top_p=0.5)
    )
    assert merged == Parameters(temperature=0.0, seed=0, presence_penalty=0.0, top_p=0.5)


@pytest.mark.parametrize("name", RANGES)
def test_a_parameter_may_lie_on_either_end_of_its_range(name: str) -> None:
    low, high = RANGES[name]
    for value in (low, high if high < math.inf else 10**9):
        assert getattr(Parameters(**json.loads(json.dumps({name: value}))), name) == value


@pytest.mark.parametrize("name", RANGES)
def test_a_parameter_outside_its_range_is_refused_with_the_range(name: str) -> None:
    low, high = RANGES[name]
    limits = f"{name} must be " + (f"at least {low}" if high == math.inf else f"{low:g} to {high:g}")
    for value in [low - 0.01, math.nan, *([high + 0.01] if high < math.inf else [])]:
        with pytest.raises(LLMValidationError, match=limits):
            Parameters(**json.loads(json.dumps({name: value})))


def test_up_to_16_stops_may_be_given_and_none_empty() -> None:
    assert len(Parameters(stop=("x",) * 16).stop) == 16
    for stop in (("x",) * 17, ("",), ("a", "")):
        with pytest.raises(LLMValidationError, match="at most 16 non-empty texts"):
            Parameters(stop=stop)


@pytest.mark.parametrize("stop", ['"END"', '["END"]', "[5]", "{}"])
def test_stops_of_another_form_are_refused_instead_of_being_taken_apart(stop: str) -> None:
    with pytest.raises(LLMValidationError, match=r"parameters\.stop must be a tuple"):
        Parameters(stop=json.loads(stop))
    with pytest.raises(LLMValidationError, match=r"parameters\.stop must be a tuple"):
        Parameters(stop=(*json.loads("[5]"), "END"))


def test_an_output_may_be_any_object_or_of_a_schema() -> None:
    assert (OutputSpec().schema, OutputSpec()) == (None, OutputSpec(None, "output", strict=True, description=""))
    assert OutputSpec({"type": "object"}, name="Invoice-2_a").schema == {"type": "object"}


def test_an_output_whose_schema_is_none_is_refused_with_the_place() -> None:
    with pytest.raises(LLMValidationError, match=r"output\.schema is no JSON Schema: \$\.type: must be one of"):
        OutputSpec({"type": "invoice"})


@pytest.mark.parametrize("name", ["", "my output", "list[int]", "a" * 65])
def test_an_output_with_a_name_that_providers_refuse_is_refused(name: str) -> None:
    with pytest.raises(LLMValidationError, match="1 to 64 letters, digits"):
        OutputSpec(name=name)


def test_another_word_for_resume_is_refused_before_a_stream_breaks() -> None:
    assert LLMRequest.of("Hello", resume="restart").resume == "restart"
    # What code without type checks may write.
    misspelt: Mapping[str, Literal["restart"]] = json.loads('{"resume": "restrat"}')
    with pytest.raises(LLMValidationError, match="resume must be one of"):
        LLMRequest.of("Hello", resume=misspelt["resume"])


def test_another_word_for_priority_is_refused_and_not_taken_for_balanced() -> None:
    # As code without type checks reads it from somewhere.
    misspelt: Mapping[str, Literal["cost"]] = json.loads('{"priority": "cheap"}')
    with pytest.raises(LLMValidationError, match="priority must be one of"):
        LLMRequest((Message.user("Hello"),), priority=misspelt["priority"])


def test_a_request_has_the_promised_fields_and_defaults() -> None:
    promised = {
        "messages": MISSING,
        "tools": (),
        "tool_choice": "auto",
        "output": None,
        "parameters": Parameters(),
        "deadline_s": None,
        "priority": "balanced",
        "tenant": None,
        "session": None,
        "tags": frozenset(),
        "cache": None,
        "extra": {},
        "resume": "never",
        "bound": None,
    }
    assert {f.name: f.default for f in fields(LLMRequest)} == promised
    assert list(promised) == [f.name for f in fields(LLMRequest)]


def test_a_request_without_messages_is_refused() -> None:
    with pytest.raises(LLMValidationError, match="messages must not be empty"):
        LLMRequest(())
    with pytest.raises(LLMValidationError, match="messages must not be empty"):
        LLMRequest.of()


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.inf, math.nan])
def test_a_deadline_is_a_positive_number_of_seconds(seconds: float) -> None:
    with pytest.raises(LLMValidationError, match="positive number of seconds"):
        LLMRequest(HELLO, deadline_s=seconds)


def test_a_tool_name_used_twice_is_refused_and_named() -> None:
    with pytest.raises(LLMValidationError, match="tool name 'b' is used twice"):
        LLMRequest(HELLO, tools=(Tool("a"), Tool("b"), Tool("b")))


def test_a_forced_tool_must_be_among_the_tools() -> None:
    tools = (Tool("a"), Tool("b"))
    assert LLMRequest(HELLO, tools, ToolNamed("b")).tool_choice == ToolNamed("b")
    with pytest.raises(LLMValidationError, match="names 'c', which is not among the tools") as raised:
        LLMRequest(HELLO, tools, ToolNamed("c"))
    assert raised.value.hint == "Use one of: a, b."


def test_nobody_can_be_made_to_call_a_tool_when_there_is_none() -> None:
    assert LLMRequest(HELLO, tool_choice="none").tool_choice == "none"
    assert LLMRequest(HELLO, (Tool("a"),), "required").tool_choice == "required"
    for choice in (ToolNamed("a"), LLMRequest(HELLO, (Tool("a"),), "required").tool_choice):
        with pytest.raises(LLMValidationError, match="there are no tools"):
            LLMRequest(HELLO, tool_choice=choice)


def test_neighbouring_texts_and_pictures_become_one_message() -> None:
    answer = Message.assistant("Yes?")
    request = LLMRequest.of("Look:", PICTURE, answer, "And", "now?", system="Be brief.")
    assert request.messages == (
        Message.system("Be brief."),
        Message("user", (Text("Look:"), PICTURE)),
        answer,
        Message("user", (Text("And"), Text("now?"))),
    )


def test_the_short_form_adds_nothing_of_its_own() -> None:
    assert LLMRequest.of("Hello") == LLMRequest(HELLO)


def test_messages_alone_stay_as_they_are() -> None:
    assert LLMRequest.of(*HELLO, Message.assistant("Hi")).messages == (*HELLO, Message.assistant("Hi"))


def test_the_short_form_takes_the_common_settings() -> None:
    short = LLMRequest.of(
        "Hello", tools=[Tool("a")], parameters=Parameters(seed=1), output=OutputSpec(), deadline_s=2.5
    )
    assert short == LLMRequest(HELLO, (Tool("a"),), parameters=Parameters(seed=1), output=OutputSpec(), deadline_s=2.5)


def test_a_request_is_extended_at_its_end_and_stays_as_it_was() -> None:
    request = LLMRequest.of("Hello")
    longer = request.extended(Message.assistant("Hi"), Message.user("Bye"))
    assert [message.text for message in longer.messages] == ["Hello", "Hi", "Bye"]
    assert request.messages == HELLO


@given(REQUESTS, st.floats(0, 1e6))
def test_another_bound_changes_nothing_else(request_: LLMRequest, at: float) -> None:
    bound = Bound(at, "attempt")
    assert request_.with_bound(bound) == replace(request_, bound=bound)
    assert type(request_.with_bound(bound)) is LLMRequest
    parameters = Parameters(temperature=0.5)
    assert request_.with_parameters(parameters) == replace(request_, parameters=parameters)


@given(REQUESTS, st.floats(0, 1e6), st.floats(0.001, 1e6))
def test_a_bound_is_made_once_from_the_requests_deadline_or_the_total(
    request_: LLMRequest, now: float, total_s: float
) -> None:
    bounded = request_.bounded(now, total_s)
    if request_.bound is not None:
        assert bounded is request_
    else:
        assert bounded.bound == Bound(now + (request_.deadline_s or total_s), "deadline")
    assert bounded.bound == request_.bound_for(now, total_s)
    assert bounded.bounded(now + 1, total_s) is bounded


def test_a_picture_anywhere_is_noticed() -> None:
    assert not LLMRequest.of("Hello").has_images
    assert LLMRequest.of("Look:", PICTURE, Message.assistant("Yes")).has_images


@given(REQUESTS)
def test_requests_are_values_that_pickle_and_copy(request_: LLMRequest) -> None:
    for again in (pickle.loads(pickle.dumps(request_)), copy.deepcopy(request_)):
        assert again == request_


def test_equal_requests_hash_equal() -> None:
    assert hash(LLMRequest.of("Hello")) == hash(LLMRequest.of("Hello"))


def test_a_bound_that_says_nothing_else_is_that_of_a_fresh_call_to_its_last_target() -> None:
    assert Bound(1.0) == Bound(1.0, "deadline", sent=0, further=False, enter_by=math.inf)


def test_a_target_has_until_its_bound_or_until_another_one_has_its_turn() -> None:
    assert [Bound(2.0).first_at, Bound(2.0, enter_by=1.0).first_at, Bound(2.0, enter_by=3.0).first_at] == [
        2.0,
        1.0,
        2.0,
    ]
