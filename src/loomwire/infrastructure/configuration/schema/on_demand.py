"""OnDemand: blocks whose validators are made when somebody writes such a block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic_core import core_schema

if TYPE_CHECKING:
    from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

    T = TypeVar("T")
    OnDemand = Annotated[T, "made when it is written"]
    """A model that is validated as anywhere, with the same errors at the same places."""
else:

    class OnDemand:
        """A model that is validated as anywhere, with the same errors at the same places.

        pydantic makes the validators of all models that a model mentions with its own. Few configurations write more
        than a handful of the blocks that they could, and all of them take a tenth of the start of a container.
        """

        def __init__(self, kind: type[BaseModel]) -> None:
            """Stand for a model."""
            self._kind = kind

        def __class_getitem__(cls, kind: type[BaseModel]) -> object:
            """Return the annotation for a model."""
            return Annotated[kind, cls(kind)]

        def __get_pydantic_core_schema__(
            self, _source: object, _handler: GetCoreSchemaHandler
        ) -> core_schema.CoreSchema:
            """Validate by the model's own validator, which it makes at its first use."""
            return core_schema.no_info_plain_validator_function(self._kind.model_validate)

        def __get_pydantic_json_schema__(
            self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
        ) -> JsonSchemaValue:
            """Describe the model."""
            if schema["type"] != "function-plain":
                # Something around it describes itself, and then this.
                return handler(schema)
            kind = self._kind
            kind.model_rebuild()
            # As pydantic names a model that it meets on its way: one definition, however often it is referred to.
            name = f"{kind.__module__}.{kind.__qualname__}:{id(kind)}"
            named = {**kind.__pydantic_core_schema__, "ref": name}
            return handler(core_schema.definitions_schema(core_schema.definition_reference_schema(name), [named]))
