"""JSON that another program sent, read as what it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from loomwire.domain.requests import ReasoningEffort
from loomwire.domain.values import JSON, JSONObject


def object_of(value: JSON) -> JSONObject:
    """Return a JSON object as one; anything else fails."""
    assert isinstance(value, Mapping)
    return value


def objects_of(value: JSON) -> Sequence[JSONObject]:
    """Return a list of objects as one; anything else fails."""
    assert isinstance(value, Sequence)
    return [object_of(each) for each in value]


def objects_if_listed(value: JSON) -> Sequence[JSONObject]:
    """Return a list of objects as one; what is no list holds none."""
    return objects_of(values(value))


def objects(value: JSON) -> list[JSONObject]:
    """Return the objects among a list's values."""
    return [each for each in values(value) if isinstance(each, Mapping)]


def values(value: JSON) -> Sequence[JSON]:
    """Return a list's values; what is no list has none."""
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def whole(value: JSON) -> JSONObject:
    """Return an object, empty when it is none."""
    return value if isinstance(value, Mapping) else {}


def number(value: JSON) -> float | None:
    """Return a number, or None for anything else."""
    return value if isinstance(value, int | float) else None


def count(value: JSON) -> int | None:
    """Return a whole number, or None for anything else."""
    return value if isinstance(value, int) else None


def effort(value: JSON) -> ReasoningEffort | None:
    """Return an effort that loomwire has a word for, or None."""
    known: tuple[ReasoningEffort, ...] = get_args(ReasoningEffort)
    return next((word for word in known if word == value), None)
