"""What Claude needs to think, wherever it is asked: how many tokens, and how its words may be chosen."""

from __future__ import annotations

from collections.abc import Mapping

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError
from loomwire.domain.requests import ReasoningEffort

_LEAST = 1024
_LEAST_TOP_P = 0.95
_BUDGETS: Mapping[str, int] = {"minimal": _LEAST, "low": 2048, "medium": 8192, "high": 16_384}


def thinking_budget(effort: ReasoningEffort, limit: int | None, config: LLMConfig) -> int:
    """Return the tokens to think with, which are part of those of the answer.

    Args:
        effort: How much to think; not `none`.
        limit: The tokens of the answer at most, or None when nobody said.
        config: The target.

    Raises:
        CapabilityError: The limit leaves less than Claude thinks with at least.
    """
    budget = _BUDGETS[effort]
    if limit is None:
        return budget
    if limit <= _LEAST:
        raise CapabilityError(
            f"{config.target} thinks with {_LEAST} tokens at least, and max_tokens leaves {limit} in all",
            hint="Raise max_tokens, or set reasoning_effort to none.",
        )
    # Some of it is for the answer.
    return min(budget, max(_LEAST, limit - limit // 5))


def check_sampling(temperature: object, top_p: object, config: LLMConfig) -> None:
    """Refuse what Claude answers with 400 while it thinks ("Extended thinking" of Anthropic's documentation).

    Args:
        temperature: As it would be sent; None when it would not.
        top_p: The same.
        config: The target.

    Raises:
        CapabilityError: A temperature other than 1, or a top_p below 0.95.
    """
    hint = "Leave it out, in `parameters` of the model too, or set reasoning_effort to none."
    if isinstance(temperature, int | float) and temperature != 1:
        raise CapabilityError(f"{config.target} thinks at temperature 1 only, not {temperature:g}", hint=hint)
    if isinstance(top_p, int | float) and top_p < _LEAST_TOP_P:
        says = f"{config.target} thinks with a top_p of {_LEAST_TOP_P:g} or more, not {top_p:g}"
        raise CapabilityError(says, hint=hint)
