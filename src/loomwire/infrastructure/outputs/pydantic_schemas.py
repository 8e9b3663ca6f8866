"""Typed output by pydantic: the only place where a type meets its JSON Schema and its decoder."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Literal, TypeGuard, TypeVar, Union, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import SchemaError
from typing_extensions import override

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.ports.output import IOutputSchema, IOutputSchemas
from loomwire.infrastructure.outputs.pydantic_schema import PydanticOutputSchema
from loomwire.infrastructure.outputs.schema_shape import SchemaGenerator
from loomwire.infrastructure.outputs.unsupported import culprit, type_name

if TYPE_CHECKING:
    from typing_extensions import TypeForm


T = TypeVar("T")

_NO_SCHEMA = (PydanticUserError, PydanticUndefinedAnnotation, SchemaError, TypeError, ValueError, NameError)
_NAME_LENGTH = 64
_UNDEFINED = "Define every name that the type uses at the level of its module."
_HINTS = {
    "class-not-fully-defined": _UNDEFINED,
    "undefined-annotation": _UNDEFINED,
    "typed-dict-version": "Import TypedDict from typing_extensions: Python before 3.12 cannot be read otherwise.",
}


class PydanticOutputSchemas(IOutputSchemas):
    """Makes output schemas with pydantic's TypeAdapter.

    Args:
        most_kept: How many schemas are kept; the least recently asked for goes first. Types made at run time are kept
            alive by it.
    """

    def __init__(self, most_kept: int = 256) -> None:
        self._most_kept = most_kept
        self._kept: OrderedDict[object, object] = OrderedDict()
        self._lock = threading.Lock()

    @override
    def schema_for(self, output: TypeForm[T]) -> IOutputSchema[T]:
        # `A | B` equals `B | A`, but the first that fits wins: the spelling belongs to the key.
        key = (output, repr(output))
        try:
            with self._lock:
                found = self._kept.get(key)
                if found is not None:
                    self._kept.move_to_end(key)
        except TypeError:
            # Annotated with unhashable metadata: made anew each time.
            return _made(output)
        if _is_of(found, output):
            return found
        made = _made(output)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > self._most_kept:
                self._kept.popitem(last=False)
        return made


def _is_of(kept: object, _output: TypeForm[T]) -> TypeGuard[PydanticOutputSchema[T]]:
    # No dict can say that the type of a value follows from its key.
    return isinstance(kept, PydanticOutputSchema)


def _made(output: TypeForm[T]) -> PydanticOutputSchema[T]:
    try:
        return PydanticOutputSchema(_schema_name(output), TypeAdapter(output))
    except _NO_SCHEMA as error:
        raise _no_schema(output, error) from error


def _no_schema(output: TypeForm[object], error: Exception) -> LLMValidationError:
    path, part = culprit(output, _has_schema)
    code = error.code if isinstance(error, (PydanticUserError, PydanticUndefinedAnnotation)) else None
    hint = _HINTS.get(code or "", "Use a pydantic model, dataclass, TypedDict, list, union, enum or scalar there.")
    where = f"{type_name(output)}{path}: " if path else ""
    return LLMValidationError(
        f"{where}{type_name(part)} has no JSON Schema, so no model can be asked for it", hint=hint, original_error=error
    )


def _has_schema(part: TypeForm[object]) -> bool:
    try:
        TypeAdapter(part).json_schema(schema_generator=SchemaGenerator)
    except _NO_SCHEMA:
        return False
    return True


def _schema_name(output: object) -> str:
    name = re.sub(r"[^A-Za-z0-9]+", "_", _words(output)).strip("_")
    return (name if name[:1].isalpha() else f"output_{name}".rstrip("_"))[:_NAME_LENGTH]


def _words(output: object) -> str:
    origin = get_origin(output)
    if origin is None:
        return "None" if output is NoneType else str(getattr(output, "__name__", ""))
    if origin is Annotated:
        return _words(get_args(output)[0])
    if origin is Literal:
        return "Literal"
    inner = [_words(part) for part in get_args(output)]
    return "_or_".join(inner) if origin in (Union, UnionType) else "_".join([_words(origin), *inner])
