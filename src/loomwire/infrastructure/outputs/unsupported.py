"""Finds the part of a type that has no JSON Schema, so that an error can point at it."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from typing_extensions import is_typeddict

if TYPE_CHECKING:
    from typing_extensions import TypeForm


def culprit(output: TypeForm[object], has_schema: Callable[[TypeForm[object]], bool]) -> tuple[str, TypeForm[object]]:
    """Return the path to the smallest part without a schema, such as `.lines[].price`, and that part.

    Args:
        output: A type that has no schema.
        has_schema: Tells of any part whether it has one.
    """
    return _deepest(output, has_schema, ()) or ("", output)


def type_name(part: object) -> str:
    """Return a type as a person would write it."""
    return part.__qualname__ if isinstance(part, type) and not get_args(part) else repr(part)


def _deepest(
    part: TypeForm[object], has_schema: Callable[[TypeForm[object]], bool], above: tuple[TypeForm[object], ...]
) -> tuple[str, TypeForm[object]] | None:
    bad = [(label, inner) for label, inner in _parts(part) if not has_schema(inner)]
    if not bad:
        return "", part
    for label, inner in bad:
        # A type that holds itself has no schema either, but is not to blame.
        found = None if inner in (*above, part) else _deepest(inner, has_schema, (*above, part))
        if found is not None:
            return label + found[0], found[1]
    return None


def _parts(part: TypeForm[object]) -> Iterator[tuple[str, TypeForm[object]]]:
    origin = get_origin(part)
    if origin is Annotated:
        yield "", get_args(part)[0]
    elif origin is None:
        yield from _fields(part)
    elif origin not in (Literal, Callable):
        yield from (("[]", inner) for inner in get_args(part) if inner is not Ellipsis)


def _fields(part: TypeForm[object]) -> Iterator[tuple[str, TypeForm[object]]]:
    for name, hint in _hints(part).items():
        yield f".{name}", hint


def _hints(part: object) -> Mapping[str, TypeForm[object]]:
    if not inspect.isclass(part):
        return {}
    if issubclass(part, BaseModel):
        return {name: field.annotation for name, field in part.model_fields.items() if field.annotation is not None}
    if not (dataclasses.is_dataclass(part) or is_typeddict(part) or issubclass(part, tuple)):
        return {}
    try:
        return get_type_hints(part, include_extras=True)
    except (NameError, TypeError):
        return {}
