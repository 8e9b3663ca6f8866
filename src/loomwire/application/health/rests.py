"""Who of a target's keys rests, why, and for how long nobody can be asked there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from loomwire.application.state.cooldowns import RestStatus
from loomwire.application.state.keys import key_id
from loomwire.domain.config import LLMConfig


@dataclass(frozen=True, slots=True)
class KeyRest:
    """One key of a target that rests, for itself or with the model.

    Attributes:
        number: Which of the provider's keys, from 1.
        rest_s: For how many seconds more.
        reason: The reason of the error it rests for.
    """

    number: int
    rest_s: float
    reason: str


def key_ids(target: LLMConfig) -> tuple[str, ...]:
    """Return the ids of a target's keys, one "" when it has none."""
    return tuple(key_id(replace(target, keys=(key,))) for key in target.keys) or ("",)


def rests_of(target: LLMConfig, rests: Sequence[RestStatus]) -> tuple[KeyRest, ...]:
    """Return the keys of a target that rest, each with its longest rest.

    Args:
        target: The target.
        rests: Everything that rests, longest first.
    """
    if not rests:
        return ()
    found = []
    for number, key in enumerate(key_ids(target), 1):
        own = (rest for rest in rests if _concerns(rest, target, key))
        longest = next(own, None)
        if longest is not None:
            found.append(KeyRest(number, longest.rest_s, longest.reason))
    return tuple(found)


def _concerns(rest: RestStatus, target: LLMConfig, key: str) -> bool:
    what = rest.what
    return what.provider == target.name and what.key in ("", key) and what.model in ("", target.model)
