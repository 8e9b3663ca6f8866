"""One type's JSON Schema and decoder, made by pydantic."""

from __future__ import annotations

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from typing_extensions import override

from loomwire.domain.errors import OutputInvalidError
from loomwire.domain.ports.output import IOutputSchema
from loomwire.domain.values import JSONObject
from loomwire.infrastructure.outputs.json_values import json_values, wrapped_value
from loomwire.infrastructure.outputs.problems import Names, problems_of
from loomwire.infrastructure.outputs.schema_shape import WRAPPER, SchemaGenerator, shaped
from loomwire.infrastructure.outputs.strict_json import NotJSONError

T_co = TypeVar("T_co", covariant=True)


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
