from __future__ import annotations

from typing import get_args

import pytest

from loomwire.application.state.pacing.measured import HIGH, LOW, NORMAL, MeasuredOperation
from loomwire.domain.estimates.tokens import input_tokens
from loomwire.domain.requests import Bound, LLMRequest, Parameters, Priority

ASKED = LLMRequest(
    LLMRequest.of("Plan a trip to Rome").messages,
    parameters=Parameters(max_tokens=70),
    tenant="acme",
    session="s1",
    tags=frozenset({"night"}),
    bound=Bound(12.5),
)


def test_it_knows_what_every_guard_may_know_and_how_large_the_request_is() -> None:
    operation = MeasuredOperation(ASKED, streamed=True)
    assert (operation.streamed, operation.tenant, operation.session) == (True, "acme", "s1")
    assert operation.tags == frozenset({"night"})
    assert (operation.max_tokens, operation.bound) == (70, Bound(12.5))
    assert operation.input_tokens == operation.input_tokens == input_tokens(ASKED)


@pytest.mark.parametrize("priority", get_args(Priority))
def test_who_wants_speed_goes_first_and_who_saves_money_last(priority: Priority) -> None:
    request = LLMRequest(ASKED.messages, priority=priority)
    urgency = MeasuredOperation(request, streamed=False).urgency
    assert urgency == {"speed": HIGH, "cost": LOW}.get(priority, NORMAL)
