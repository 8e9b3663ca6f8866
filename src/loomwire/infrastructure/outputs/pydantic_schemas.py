"""Typed output by pydantic: the only place where a type meets its JSON Schema and its decoder."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Literal, TypeGuard, TypeVar, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import SchemaError
from typing_extensions import override

from loomwire.domain.errors import LLMValidationError, OutputInvalidError
from loomwire.domain.ports.output import IOutputSchema, IOutputSchemas
from loomwire.domain.values import JSONObject
from loomwire.infrastructure.outputs.json_values import NotJSONError, json_values, wrapped_value
from loomwire.infrastructure.outputs.problems import Names, problems_of
from loomwire.infrastructure.outputs.schema_shape import WRAPPER, SchemaGenerator, shaped
from loomwire.infrastructure.outputs.unsupported import culprit, type_name

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_NO_SCHEMA = (PydanticUserError, PydanticUndefinedAnnotation, SchemaError, TypeError, ValueError, NameError)
_NAME_LENGTH = 64
_UNDEFINED = "Define every name that the type uses at the level of its module."
_HINTS = {
    "class-not-fully-defined": _UNDEFINED,
    "undefined-annotation": _UNDEFINED,
    "typed-dict-version": "Import TypedDict from typing_extensions: Python before 3.12 cannot be read otherwise.",
}


class PydanticOutputSchema(IOutputSchema[T_co]):
    """The schema and the decoder of one type. Immutable; made by `PydanticOutputSchemas`."""

    __slots__ = ("_adapter", "_name", "_names", "_schema", "_wrapped")

    def __init__(self, name: str, adapter: TypeAdapter[T_co]) -> None:
        """Make the schema once.

        Raises:
            PydanticUserError: The type has a decoder but no schema, such as a callable.
        """
        schema: JSONObject = adapter.json_schema(schema_generator=SchemaGenerator)
        self._name = name
        self._adapter = adapter
        self._schema, self._wrapped = shaped(schema)
        self._names = Names(self._schema)

    @property
    @override
    def name(self) -> str:
        return self._name

    @property
    @override
    def schema(self) -> JSONObject:
        return self._schema

    @override
    def decode(self, text: str) -> T_co:
        """Return the object that the text describes.

        JSON is taken strictly (see `json_values`), its shape kindly: fences and sentences around it are passed over,
        and a type that goes wrapped as `{"value": ...}` is also taken bare when nothing else is there. Several
        different values that all fit are refused, because a guess would be silent.
        """
        try:
            values = list(dict.fromkeys(json_values(text)))
        except NotJSONError as error:
            raise self._invalid([f"$: {error}"], text) from None
        if self._wrapped:
            return self._unwrapped(values, text)
        # Beside an object, lists are the footnotes of a sentence.
        return self._fitting([value for value in values if value.startswith("{")] or values, "$", text)

    def _unwrapped(self, values: list[str], text: str) -> T_co:
        inner = [found for value in values if (found := wrapped_value(value, WRAPPER)) is not None]
        try:
            if inner:
                return self._fitting(inner, f"$.{WRAPPER}", text)
            shape = f"$: the answer must be an object with the one key {WRAPPER!r}"
            raise self._invalid([shape], text)
        except OutputInvalidError as error:
            if len(values) > 1:
                raise
            return self._bare(values, error, text)

    def _bare(self, values: list[str], wrapped: OutputInvalidError, text: str) -> T_co:
        # A model that forgot the wrapper, or a type that itself has a field of that name.
        try:
            return self._fitting(values, "$", text)
        except OutputInvalidError:
            raise wrapped from None

    def _fitting(self, values: list[str], root: str, text: str) -> T_co:
        fits: list[T_co] = []
        misfits: list[tuple[int, list[str]]] = []
        for value in values:
            try:
                fits.append(self._adapter.validate_json(value))
            except ValidationError as error:
                misfits.append((len(value), problems_of(error, self._names, root)))
            except Exception as error:  # noqa: BLE001  # the host's own validator may raise anything
                raise self._invalid([f"{root}: a validator failed: {type(error).__name__}"], text, error) from None
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise self._invalid([f"{root}: the answer holds {len(fits)} different values that fit; give one"], text)
        # The longest value is most likely the answer; the others are examples and references.
        raise self._invalid(max(misfits, key=lambda misfit: misfit[0])[1], text)

    def _invalid(self, problems: list[str], text: str, cause: Exception | None = None) -> OutputInvalidError:
        message = f"the answer does not fit {self._name}: {problems[0]}"
        error = OutputInvalidError(message, problems=problems, text=text)
        error.original_error = cause
        return error


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
