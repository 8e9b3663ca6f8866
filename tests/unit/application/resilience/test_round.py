"""Whatever the targets do: a call never sends more often than it may, and every failure is told."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from loomwire.domain.errors import AllTargetsFailedError, LLMError, llm_error
from loomwire.domain.faults import FAULTS, ErrorCategory
from loomwire.domain.messages import Message
from loomwire.domain.policies import BalancePolicy, BalanceRule, RetryPolicy
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import LLMRequest
from support.falling import at, client_of, falling, says
from support.retrying import ended

# What a model can end with: the families of the fault table that are no matter of configuration or host code.
REASONS = sorted(
    reason
    for reason, fault in FAULTS.items()
    if fault.code[:3] in {"NET", "TIM", "RAT", "TMP", "AUT", "PER", "VAL", "NOT", "PRO", "STR", "LLM"}
    and reason != "all_targets_failed"
    and fault.category is not ErrorCategory.INTERNAL
)
QUESTION = LLMRequest.of("Hi")
TALK = LLMRequest((Message.user("a"), Message.assistant("b"), Message.user("c")))
BEHAVIOUR = st.lists(st.sampled_from([None, *REASONS]), min_size=0, max_size=4)


def sends(steps: tuple[Step, ...]) -> int:
    """Return how many of the steps are sends."""
    return sum(step.layer == "attempt" for step in steps)


async def answered(client: ILLMClient, request: LLMRequest, *, stream: bool) -> tuple[Step, ...]:
    """Ask, whole or as a stream, and return the steps of the answer."""
    if not stream:
        return (await client.generate(request)).steps
    async with client.stream(request) as events:
        _ = [event async for event in events]
        return events.response.steps


@settings(max_examples=150)
@given(
    behaviours=st.lists(BEHAVIOUR, min_size=1, max_size=4),
    attempts=st.integers(1, 3),
    total=st.integers(1, 6),
    policy=st.sampled_from(["ordered", "weighted", "least_busy", "latency", "cost", "sticky"]),
    talk=st.booleans(),
    stream=st.booleans(),
)
async def test_no_call_sends_more_often_than_it_may_and_every_failure_is_told(
    behaviours: list[list[str | None]], attempts: int, total: int, policy: BalanceRule, *, talk: bool, stream: bool
) -> None:
    retry = RetryPolicy(attempts=attempts, total_attempts=total, base_s=0.1, throttle_base_s=0.1)
    names = [f"p{number}/m{number}" for number in range(len(behaviours))]
    leaves = {
        name: says(
            *("fine" if reason is None else llm_error(reason, "so it is") for reason in behaviour),
            then="fine",
            name=name,
        )
        for name, behaviour in zip(names, behaviours, strict=True)
    }
    config = client_of(*(at(name, f"key-{name}", retry=retry) for name in names))
    made = falling(replace(config, balance=BalancePolicy(policy=policy)), leaves)
    error: LLMError | None = None
    try:
        steps = await ended(made.clock, answered(made.client, TALK if talk else QUESTION, stream=stream))
    except LLMError as raised:
        error, steps = raised, raised.steps
    sent = sum(len(leaf.requests) for leaf in leaves.values())
    assert sent <= max(total, 1)
    assert sends(steps) == sent
    failed = [step.reason for step in steps if step.layer == "attempt" and step.outcome == "failed"]
    assert len(failed) == sent - (error is None)
    if isinstance(error, AllTargetsFailedError):
        assert len(error.errors) == len({step.target for step in steps if step.layer == "attempt"}) >= 2
        assert {one.reason for one in error.errors} <= set(failed)
    elif error is not None:
        assert error.reason == failed[-1]
    assert all(load.in_flight == 0 for load in made.states.loads.readings(0.0).values())
