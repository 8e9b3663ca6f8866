"""The error tree: who is what, what an error says, and that it survives pickle and copies."""

from __future__ import annotations

import copy
import json
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain import errors
from loomwire.domain.errors import (
    AllTargetsFailedError,
    ConfigError,
    ConfigRejectedError,
    LLMError,
    LLMNetworkError,
    LLMRateLimitError,
    LLMValidationError,
    LoomError,
    OutputInvalidError,
    StreamInterruptedError,
    ToolExecutionError,
    WiringError,
    llm_error,
)
from loomwire.domain.faults import FAULTS, ErrorCategory
from loomwire.domain.pricing import Usage
from loomwire.domain.reports.context import ErrorContext, Phase
from loomwire.domain.reports.problems import Problem
from loomwire.domain.reports.steps import Step
from loomwire.domain.values import ToolCall

# promises.md, "Errors", each with the reason it has when nobody says another.
TREE: Mapping[str, tuple[str, str]] = {
    "LoomError": ("Exception", "internal"),
    "ConfigError": ("LoomError", "rejected"),
    "ConfigRejectedError": ("ConfigError", "rejected"),
    "WiringError": ("ConfigError", "wiring"),
    "UnknownNameError": ("ConfigError", "unknown_name"),
    "LLMError": ("LoomError", "unknown"),
    "LLMNetworkError": ("LLMError", "reset"),
    "LLMTimeoutError": ("LLMError", "attempt"),
    "LLMRateLimitError": ("LLMError", "throttled"),
    "LLMTemporaryError": ("LLMError", "server"),
    "LLMAuthenticationError": ("LLMError", "credentials"),
    "LLMPermissionError": ("LLMError", "denied"),
    "BudgetExceededError": ("LLMPermissionError", "budget_exceeded"),
    "LLMValidationError": ("LLMError", "invalid_request"),
    "ContextLengthError": ("LLMValidationError", "context_length"),
    "ContentFilterError": ("LLMValidationError", "content_filter"),
    "CapabilityError": ("LLMValidationError", "capability"),
    "OutputInvalidError": ("LLMValidationError", "output_invalid"),
    "LLMNotFoundError": ("LLMError", "model"),
    "LLMProtocolError": ("LLMError", "protocol"),
    "StreamInterruptedError": ("LLMError", "stream_interrupted"),
    "CircuitOpenError": ("LLMError", "circuit_open"),
    "AllTargetsFailedError": ("LLMError", "all_targets_failed"),
    "ClientRemovedError": ("LLMError", "client_removed"),
    "ToolExecutionError": ("LoomError", "tool_failed"),
    "AgentStoppedError": ("LoomError", "agent_stopped"),
    "RetrieverError": ("LoomError", "retriever_failed"),
    "PluginError": ("LoomError", "plugin_failed"),
}

# Where the class is not that of the category.
CLASS_OF: Mapping[str, str] = {
    "protocol": "LLMProtocolError",
    "too_large": "LLMProtocolError",
    "stream_interrupted": "StreamInterruptedError",
    "circuit_open": "CircuitOpenError",
    "budget_exceeded": "BudgetExceededError",
    "context_length": "ContextLengthError",
    "content_filter": "ContentFilterError",
    "capability": "CapabilityError",
    "output_invalid": "OutputInvalidError",
    "client_removed": "ClientRemovedError",
    "closed": "ClientRemovedError",
}
CLASS_OF_CATEGORY: Mapping[str, str] = {
    "network_error": "LLMNetworkError",
    "timeout_error": "LLMTimeoutError",
    "rate_limit_error": "LLMRateLimitError",
    "temporary_error": "LLMTemporaryError",
    "authentication_error": "LLMAuthenticationError",
    "permission_error": "LLMPermissionError",
    "validation_error": "LLMValidationError",
    "not_found_error": "LLMNotFoundError",
    "internal_error": "LLMError",
    "unknown_error": "LLMError",
}

WHERE: ErrorContext = {
    "provider": "corporate",
    "model": "big-1",
    "endpoint": "https://llm.example.com",
    "status": 429,
    "request_id": "req_1",
    "attempt": 2,
    "phase": "headers",
    "retry_after": 1.5,
    "provider_code": "slow_down",
    "provider_message": "Too fast.",
    "hint": "Wait.",
}
CALL = ToolCall("c1", "weather", None, '{"city": "Pa')
PROBLEM = Problem("unknown_key", "unknown key `x`", path="models.x")
PLAIN: Mapping[str, type[LoomError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, LoomError)
}
RICH: Mapping[str, Callable[[], LoomError]] = {
    "ConfigRejectedError": lambda: ConfigRejectedError("m", problems=[PROBLEM], **WHERE),
    "WiringError": lambda: WiringError("m", problems=["WIR001 a: is not supplied"], **WHERE),
    "OutputInvalidError": lambda: OutputInvalidError("m", problems=["$.a: missing"], text="the answer", **WHERE),
    "StreamInterruptedError": lambda: StreamInterruptedError(
        "m", partial_text="so far", partial_tool_calls=(CALL,), usage_so_far=Usage(1, 2), **WHERE
    ),
    "AllTargetsFailedError": lambda: AllTargetsFailedError("m", errors=[LLMNetworkError("n", **WHERE)], **WHERE),
}


def made(name: str) -> LoomError:
    """Return an error of the class, with every field filled."""
    if name in RICH:
        return RICH[name]()
    return PLAIN[name]("m", metadata={"count": 1, "more": {"a": [1, None]}}, **WHERE)


def facts(error: LoomError) -> dict[str, object]:
    """Return all an error holds, with the errors below it likewise."""
    below = [facts(inner) for inner in error.errors] if isinstance(error, AllTargetsFailedError) else []
    return {**vars(error), "errors": below, "type": type(error), "args": error.args}


def copies(error: LoomError) -> list[LoomError]:
    """Return an error after each way of copying it."""
    pickled = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    found = [*pickled, copy.copy(error), copy.deepcopy(error)]
    assert all(isinstance(one, LoomError) for one in found)
    return found


def test_the_tree_is_the_promised_one() -> None:
    assert {name: kind.__bases__[0].__name__ for name, kind in PLAIN.items()} == {
        n: base for n, (base, _) in TREE.items()
    }


def test_the_docstring_draws_every_class_once_below_its_base() -> None:
    drawing = (errors.__doc__ or "").split("::")[1].split("Behaviour is data")[0]
    drawn: list[str] = []
    stack: list[tuple[int, str]] = []
    for line in drawing.splitlines():
        names = re.findall(r"\w+Error", line)
        if not names:
            continue
        depth = line.index(names[0])
        stack = [*((at, name) for at, name in stack if at < depth), (depth, names[-1])]
        base = stack[-2][1] if len(stack) > 1 else "Exception"
        assert {TREE[name][0] for name in names} == {base}
        drawn += names
    assert sorted(drawn) == sorted(PLAIN)


@pytest.mark.parametrize("name", TREE)
def test_an_error_without_a_reason_stands_for_its_classs_row(name: str) -> None:
    error = RICH[name]() if name in RICH else PLAIN[name]("m")
    row = FAULTS[TREE[name][1]]
    assert (error.reason, error.code, error.fault) == (row.reason, row.code, row)
    assert error.disposition == row.disposition
    if name != "AllTargetsFailedError":
        assert (error.category, error.retryable) == (row.category, row.disposition.retry_same)


@pytest.mark.parametrize("reason", FAULTS)
def test_a_reason_gets_the_most_specific_class_and_the_rows_behaviour(reason: str) -> None:
    error = llm_error(reason, "what failed")
    row = FAULTS[reason]
    assert type(error).__name__ == CLASS_OF.get(reason, CLASS_OF_CATEGORY[row.category.value])
    assert (error.reason, error.code, error.category, error.disposition) == (
        reason,
        row.code,
        row.category,
        row.disposition,
    )
    assert (error.message, error.args, error.hint) == ("what failed", ("what failed",), row.remedy)
    assert error.retryable is row.disposition.retry_same


@pytest.mark.parametrize("name", TREE)
def test_an_error_of_any_class_survives_pickle_and_copies_whole(name: str) -> None:
    error = made(name).with_step(Step("attempt", "corporate/big-1", "failed", "throttled"))
    for one in copies(error):
        assert facts(one) == facts(error)
        assert str(one) == str(error)


@pytest.mark.parametrize("reason", FAULTS)
def test_an_error_of_any_reason_survives_pickle_and_copies_whole(reason: str) -> None:
    error = llm_error(reason, "m", provider="p", retry_after=0.5, phase="stream_after_token")
    for one in copies(error):
        assert facts(one) == facts(error)


def test_a_copy_leaves_the_cause_behind_because_it_may_hold_anything() -> None:
    cause = ValueError("host's own")
    error = ToolExecutionError("the tool failed", original_error=cause)
    assert error.original_error is cause
    assert [one.original_error for one in copies(error)] == [None] * len(copies(error))
    assert error.original_error is cause


def test_a_deep_copy_shares_no_list_with_its_original() -> None:
    error = LoomError("m", metadata={"tried": ["a"]})
    copied = copy.deepcopy(error)
    assert copied.metadata == error.metadata
    assert copied.metadata["tried"] is not error.metadata["tried"]


def test_notes_of_the_host_travel_with_a_copy() -> None:
    error = LoomError("m")
    error.add_note("node 7")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["node 7"]


def test_metadata_is_the_errors_own_copy_and_pickles_whatever_mapping_it_was() -> None:
    given_metadata = {"node": "7"}
    error = LoomError("m", metadata=MappingProxyType(given_metadata))
    given_metadata["node"] = "8"
    assert error.metadata == {"node": "7"}
    assert facts(pickle.loads(pickle.dumps(error))) == facts(error)


def test_a_class_of_the_hosts_takes_part_by_naming_a_row() -> None:
    class NodeError(LoomError, default_reason="hook"):
        """A host's own error."""

    class DeeperError(NodeError):
        """Stands for the same row."""

    assert (NodeError("m").code, DeeperError("m").code) == ("INT002", "INT002")


def test_an_error_cannot_be_made_for_a_reason_that_the_table_lacks() -> None:
    with pytest.raises(KeyError, match="mystery"):
        LLMError("m", reason="mystery")
    with pytest.raises(KeyError, match="mystery"):
        llm_error("mystery", "m")
    with pytest.raises(KeyError, match="mystery"):

        class MysteryError(LoomError, default_reason="mystery"):
            """Stands for no row."""


def test_what_the_caller_says_outranks_the_table() -> None:
    error = LLMError("m", reason="throttled", category=ErrorCategory.UNKNOWN, retryable=False, hint="Ask Bob.")
    assert (error.category, error.retryable, error.hint) == (ErrorCategory.UNKNOWN, False, "Ask Bob.")
    assert (error.code, error.disposition) == ("RAT001", FAULTS["throttled"].disposition)


def test_every_field_of_the_context_becomes_an_attribute() -> None:
    context: ErrorContext = {**WHERE, "reason": "throttled"}
    error = LLMError("m", **context)
    assert {name: getattr(error, name) for name in context} == context
    assert set(ErrorContext.__annotations__) == set(context)


def test_what_nobody_said_is_none_and_never_made_up() -> None:
    error = LLMError("m")
    unsaid = set(WHERE) - {"hint"}
    assert {name: getattr(error, name) for name in unsaid} == dict.fromkeys(unsaid)
    assert (error.original_error, error.metadata, error.steps) == (None, {}, ())


def test_a_rate_limit_says_how_long_to_wait_in_fractions_too() -> None:
    assert LLMRateLimitError("m", retry_after=0.25).retry_after == 0.25


@pytest.mark.parametrize("reason", FAULTS)
def test_after_the_first_token_no_layer_may_send_again_but_the_host_may(reason: str) -> None:
    error = llm_error(reason, "m", phase="stream_after_token")
    row = FAULTS[reason].disposition
    assert (error.disposition.retry_same, error.disposition.falls_back) == (False, False)
    assert error.disposition.trips_breaker is row.trips_breaker
    assert error.retryable is row.retry_same


@pytest.mark.parametrize("phase", ["connect", "headers", "body", "stream_before_token", None])
def test_before_the_first_token_the_phase_changes_nothing(phase: Phase | None) -> None:
    assert llm_error("idle", "m", phase=phase).disposition == FAULTS["idle"].disposition


@pytest.mark.parametrize(("status", "trips"), [(None, False), (418, False), (499, False), (500, True), (599, True)])
def test_an_unknown_status_counts_against_the_target_from_500_on(status: int | None, trips: bool) -> None:
    error = llm_error("unknown", "m", status=status)
    assert error.disposition == replace(FAULTS["unknown"].disposition, trips_breaker=trips)


def test_a_known_reason_does_not_ask_the_status() -> None:
    assert llm_error("unsupported", "m", status=501).disposition == FAULTS["unsupported"].disposition


def test_an_error_is_one_line_with_code_place_words_and_remedy() -> None:
    error = LLMRateLimitError(
        "slowed\ndown", provider="openai", model="gpt-5", provider_message="Too\n fast.", hint="Wait."
    )
    assert str(error) == "RAT001 [openai/gpt-5] slowed down: Too\\x0a fast. (Wait.)"
    assert (
        str(LLMRateLimitError("slowed down", provider="openai", hint="Wait.")) == "RAT001 [openai] slowed down (Wait.)"
    )
    assert str(LoomError("broken", hint="Mend it.")) == "INT003 broken (Mend it.)"


@given(st.text(), st.text(), st.text(), st.text())
def test_nothing_a_server_says_can_break_the_line_or_the_terminal(a: str, b: str, c: str, d: str) -> None:
    error = LLMError(a, model=b, provider_message=c, hint=d)
    assert str(error).isprintable()
    assert all(line.isprintable() for line in error.explain().split("\n"))


@given(st.text(st.characters(), max_size=40), st.integers(1, 100))
def test_a_servers_own_words_are_short_and_printable(words: str, times: int) -> None:
    error = LLMError("m", provider_message=words * times, provider_code=words * times, request_id=words * times)
    for said in (error.provider_message, error.provider_code, error.request_id):
        assert said is not None
        assert len(said) <= 500
        assert said.isprintable()
    if words.isprintable():
        assert error.provider_message == (words * times)[:500]


def test_an_error_is_json_in_a_fixed_shape() -> None:
    error = LLMRateLimitError("slowed down", metadata={"node": "7"}, original_error=OSError("key=sk-1"), **WHERE)
    error.with_step(Step("attempt", "corporate/big-1", "failed", "throttled"))
    assert json.loads(json.dumps(error.to_dict())) == {
        "schema": "loomwire/error/1",
        "type": "LLMRateLimitError",
        "code": "RAT001",
        "reason": "throttled",
        "category": "rate_limit_error",
        "message": "slowed down",
        "hint": "Wait.",
        "retryable": True,
        "retry_after": 1.5,
        "provider": "corporate",
        "model": "big-1",
        "endpoint": "https://llm.example.com",
        "status": 429,
        "request_id": "req_1",
        "attempt": 2,
        "phase": "headers",
        "provider_code": "slow_down",
        "provider_message": "Too fast.",
        "metadata": {"node": "7"},
        "steps": [Step("attempt", "corporate/big-1", "failed", "throttled").to_dict()],
    }


@pytest.mark.parametrize("name", TREE)
def test_an_error_of_any_class_is_json_with_the_same_keys(name: str) -> None:
    assert json.loads(json.dumps(made(name).to_dict())).keys() == LoomError("m").to_dict().keys()


def test_an_explanation_has_the_meaning_the_remedy_and_the_steps() -> None:
    error = LLMNetworkError("the line broke", provider="p", model="m", provider_message="bye")
    error.with_step(Step("attempt", "p/m", "failed", "reset")).with_step(Step("call", outcome="failed"))
    assert error.explain().splitlines() == [
        "error[NET003]: [p/m] the line broke: bye",
        "  meaning: The connection broke.",
        "  what to do: Retry; look for a proxy or a crashing server.",
        "  step: call failed after 0.000 s",
        "  step: attempt p/m failed (reset) after 0.000 s",
    ]


def test_a_rejected_configuration_explains_itself_by_its_problems() -> None:
    error = ConfigRejectedError("2 problems", problems=[PROBLEM, replace(PROBLEM, severity="warning")])
    assert error.problems == (PROBLEM, replace(PROBLEM, severity="warning"))
    assert error.explain() == f"{PROBLEM.render()}\n\n{replace(PROBLEM, severity='warning').render()}"


def test_the_place_is_filled_in_only_where_it_is_unknown() -> None:
    error = LLMError("m", provider="asked")
    assert error.located("other", "model") is error
    assert (error.provider, error.model) == ("asked", "model")


def test_a_layers_step_goes_in_front_of_the_steps_below() -> None:
    inner, outer = Step("attempt"), Step("call")
    error = LLMError("m")
    assert error.with_step(inner).with_step(outer) is error
    assert error.steps == (outer, inner)


def test_when_all_targets_failed_the_last_one_tells_the_host_what_to_do_and_no_layer_asks_again() -> None:
    first, last = llm_error("credentials", "bad key"), llm_error("throttled", "slow", retry_after=7.0)
    error = AllTargetsFailedError("all failed", errors=[first, last])
    assert error.errors == (first, last)
    assert (error.category, error.retryable, error.retry_after) == (ErrorCategory.RATE_LIMIT, True, 7.0)
    assert (error.disposition, error.code) == (FAULTS["all_targets_failed"].disposition, "LLM001")
    assert [line for line in error.explain().splitlines() if "failed:" in line] == [
        f"  failed: {first}",
        f"  failed: {last}",
    ]


def test_a_wait_that_was_given_outranks_that_of_the_last_target() -> None:
    last = llm_error("throttled", "slow", retry_after=7.0)
    assert AllTargetsFailedError("all failed", errors=[last], retry_after=2.0).retry_after == 2.0
    assert AllTargetsFailedError("all failed", errors=[last], retry_after=0.0).retry_after == 0.0


def test_without_any_target_there_is_nothing_to_take_over() -> None:
    error = AllTargetsFailedError("no target", errors=[])
    assert (error.errors, error.category, error.retryable) == ((), ErrorCategory.UNKNOWN, False)


def test_an_invalid_output_keeps_the_answer_out_of_sight() -> None:
    error = OutputInvalidError("does not fit", problems=["$.total: missing"], text="the customer's data")
    assert (error.problems, error.text) == (("$.total: missing",), "the customer's data")
    for shown in (str(error), repr(error), error.explain(), json.dumps(error.to_dict())):
        assert "customer" not in shown


def test_an_interrupted_stream_keeps_exactly_what_was_delivered_out_of_sight() -> None:
    error = StreamInterruptedError("cut", partial_text="secret plan", partial_tool_calls=(CALL,), usage_so_far=Usage(3))
    assert (error.partial_text, error.partial_tool_calls, error.usage_so_far) == ("secret plan", (CALL,), Usage(3))
    for shown in (str(error), repr(error), error.explain(), json.dumps(error.to_dict())):
        assert "secret plan" not in shown
    assert StreamInterruptedError("cut").usage_so_far is None


def test_mistakes_of_the_host_are_no_failures_of_a_model() -> None:
    assert not issubclass(ConfigError, LLMError)
    assert not issubclass(ToolExecutionError, LLMError)
    assert issubclass(LLMValidationError, LLMError)
