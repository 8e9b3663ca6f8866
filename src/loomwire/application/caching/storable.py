"""Which answers may be kept: a wrong one would be given again for an hour."""

from __future__ import annotations

from typing import Final

from loomwire.application.selection.options import candidates_of
from loomwire.application.selection.table import rule_of
from loomwire.domain.caching.policies import CachePolicy
from loomwire.domain.config import ClientConfig
from loomwire.domain.requests import Priority
from loomwire.domain.responses import Finish, LLMResponse

_WHOLE: Final[frozenset[Finish | None]] = frozenset({"stop", "tool_calls"})


def why_not(response: LLMResponse[str], policy: CachePolicy, equals: frozenset[str] | None) -> str | None:
    """Return why an answer is not kept, as a word, or None when it may be.

    Kept is what a model said to its very end and of its own will: no stand-in (degraded), nothing that was kept before
    (cached), nothing without a sign of its end (incomplete), no refusal, nothing that ended otherwise than by itself or
    with tool calls (no_finish, content_filter, error, pause, other, and length unless the policy takes that), and
    nothing that a target outside `equals` said (other_target). A stream that began anew is as good as any other.

    Args:
        response: The answer, with its steps.
        policy: What the client keeps.
        equals: See `equals_of`; None is any target. An answer that does not tell who gave it is outside.
    """
    marks = {
        "degraded": response.degraded,
        "cached": response.cached,
        "incomplete": not response.complete,
        "refusal": response.refusal is not None,
    }
    for word, holds in marks.items():
        if holds:
            return word
    if response.finish not in _WHOLE and not (response.finish == "length" and policy.truncated):
        return response.finish or "no_finish"
    return None if equals is None or answered_by(response) in equals else "other_target"


def answered_by(response: LLMResponse[str]) -> str | None:
    """Return the target (provider/model) whose attempt gave the answer, as its steps tell; None when they do not."""
    for step in reversed(response.steps):
        if step.layer == "attempt" and step.outcome == "answered":
            return step.target
    return None


def equals_of(config: ClientConfig, priority: Priority = "balanced") -> frozenset[str] | None:
    """Return the targets whose answers a client keeps; None is all of them.

    Where the client's order decides who answers, these are the first target and the neighbours that are equal to it:
    the others only stand in for it. All of them are, where the configuration says so (`equivalent`), and where another
    rule chooses freely. Where one of the others has the same provider and model and is asked otherwise, nothing tells
    whose answer it was, and none of that name is kept.

    Args:
        config: The client.
        priority: Of the request; it may choose another rule than the client's.
    """
    if config.cache.equivalent or rule_of(config.balance, priority) != "ordered":
        return None
    candidates = candidates_of(config)
    others = frozenset(one.config.target for one in candidates if one.group != candidates[0].group)
    return frozenset(one.config.target for one in candidates) - others if others else None
