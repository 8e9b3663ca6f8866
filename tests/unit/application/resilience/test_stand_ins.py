"""Stand-ins: which calls they answer, and which functions of the host they are made by."""

from __future__ import annotations

from typing import Literal

import pytest

from loomwire.application.resilience.stand_ins import is_exhausted, stand_in, stand_in_of
from loomwire.domain.errors import AllTargetsFailedError, UnknownNameError, llm_error
from loomwire.domain.faults import FAULTS
from loomwire.domain.policies import ExhaustedPolicy
from loomwire.domain.pricing import FREE, Usage
from loomwire.domain.reports.steps import Step
from support.chains import HI

DOWN = llm_error("server", "down")
HERE = "support.standing_in"

STOOD_IN_FOR = {
    *("dns", "refused", "reset", "tls", "tls_certificate", "eof", "stream_interrupted"),
    *("connect", "ttft", "idle", "attempt", "gateway", "queue", "deadline"),
    *("throttled", "server", "overloaded", "conflict", "protocol", "too_large", "circuit_open"),
    *("credentials", "denied", "quota_exhausted", "model", "unsupported", "redirect", "unknown"),
}


@pytest.mark.parametrize("reason", sorted(FAULTS))
def test_only_what_targets_fail_at_is_answered_for(reason: str) -> None:
    assert is_exhausted(llm_error(reason, "failed")) == (reason in STOOD_IN_FOR)


@pytest.mark.parametrize(
    ("reasons", "stood_in_for"),
    [(("server", "invalid_request"), True), (("capability", "context_length"), False), ((), False)],
)
def test_of_several_targets_one_that_failed_by_itself_is_enough(reasons: tuple[str, ...], stood_in_for: bool) -> None:
    errors = [llm_error(reason, "failed") for reason in reasons]
    assert is_exhausted(AllTargetsFailedError("none answered", errors=errors)) == stood_in_for


def test_the_answer_says_that_it_is_none_of_a_model_and_why() -> None:
    error = llm_error("server", "down").with_step(Step("attempt", "a/m", "failed", "server"))
    answer = stand_in("Later.", "static", error)
    assert (answer.output, answer.text, answer.finish) == ("Later.", "Later.", "stop")
    assert (answer.provider, answer.model, answer.degraded, answer.cached) == ("stand-in", "static", True, False)
    assert (answer.usage, answer.cost) == (Usage(), FREE)
    assert [step.layer for step in answer.steps] == ["attempt", "degraded"]
    assert (answer.steps[1].outcome, answer.steps[1].reason) == ("stood_in", "server")


async def test_a_static_text_is_said_whatever_was_asked() -> None:
    assert await stand_in_of("planner", ExhaustedPolicy("static", "Later."))(HI, DOWN) == "Later."


@pytest.mark.parametrize("function", ["plain", "waiting", "whole", "later", "Kept.plain"])
async def test_a_function_answers_with_a_text_or_an_answer_now_or_later(function: str) -> None:
    answer = stand_in_of("planner", ExhaustedPolicy("callable", function=f"{HERE}:{function}"))
    assert await answer(HI, DOWN) == "Hi: TMP001"


async def test_a_function_that_returns_no_text_is_wrong() -> None:
    answer = stand_in_of("planner", ExhaustedPolicy("callable", function=f"{HERE}:nothing"))
    with pytest.raises(TypeError, match="must return a text, not NoneType"):
        await answer(HI, DOWN)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("loomwire.domain.nowhere:f", r"cannot be imported \(ModuleNotFoundError\)"),
        ("json:nowhere", "there is no such function"),
        ("json:__name__", "there is no such function"),
        ("json", "there is no such function"),
        ("", "there is no such function"),
        (":f", "cannot be imported"),
    ],
)
def test_a_function_that_is_not_there_is_refused_when_the_client_is_built(function: str, words: str) -> None:
    mode: Literal["callable"] = "callable"
    with pytest.raises(UnknownNameError, match=f"client 'planner' names a function, but .*{words}"):
        stand_in_of("planner", ExhaustedPolicy(mode, function=function))
