"""A type's JSON Schema takes the shape that vendors accept, without losing what the type says."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal, NamedTuple, NotRequired

import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from loomwire.domain.ports.output import IOutputSchema
from loomwire.domain.tools import schema_problem
from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.outputs.pydantic_schemas import PydanticOutputSchemas

SCHEMAS = PydanticOutputSchemas()


class Plain:
    """A class that JSON knows nothing of."""


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    """One line of an invoice."""

    amount: Decimal
    text: str = Field(default="-", description="What was sold")
    unit: Literal["piece"] = "piece"


class Invoice(BaseModel):
    model_config = ConfigDict(regex_engine="python-re")
    number: Annotated[str, Field(pattern=r"^(?!0)\d+$")]
    place: Annotated[str, Field(pattern=r"^\w+$")]
    lines: list[Line] = []
    first: Line = Field(default=Line(amount=Decimal(1)), description="The first")
    last: Line | None = None
    colour: Literal["red", None] = None
    odd: int = Field(default=None, validate_default=False)  # type: ignore[assignment]  # hosts do write this
    made: datetime = Field(default_factory=datetime.now)
    tags: set[str] = Field(default_factory=set)
    long: str = "x" * 300
    broken: object = Field(default=Plain(), exclude=True)


class Node(BaseModel):
    value: int
    children: list[Node] = []


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    known: int


class Empty(BaseModel):
    pass


class Point(NamedTuple):
    x: int
    y: int = 0
    z: Annotated[int, Field(alias="depth")] = 0


class Options(TypedDict):
    name: str
    size: NotRequired[int]


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


@dataclass
class Order:
    id: uuid.UUID
    points: list[Point] = field(default_factory=list)
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] = field(default_factory=lambda: Cat(kind="cat"))


def at(schema: JSON, path: str) -> JSON:
    """Return the part of a schema under a dotted path."""
    for key in path.split("."):
        assert isinstance(schema, Mapping)
        schema = schema[key]
    return schema


def required(schema: JSONObject) -> set[str]:
    """Return the names an object requires."""
    names = schema["required"]
    assert isinstance(names, Sequence)
    return {str(name) for name in names}


ALL = [Invoice, Line, Node, Open, Empty, Point, Options, Order, Colour, Cat, int, str, bool, float, Decimal, datetime]


@pytest.mark.parametrize("output", ALL, ids=lambda output: output.__name__)
def test_every_schema_is_an_object_that_providers_take(output: type[object]) -> None:
    schema = SCHEMAS.schema_for(output).schema
    assert schema["type"] == "object"
    assert schema_problem(schema) is None


def test_types_that_are_no_objects_are_wrapped() -> None:
    schemas: list[IOutputSchema[object]] = [SCHEMAS.schema_for(list[Line]), SCHEMAS.schema_for(int | None)]
    schemas += [SCHEMAS.schema_for(tuple[int, str]), SCHEMAS.schema_for(Literal["a", "b"])]
    schemas += [SCHEMAS.schema_for(Line | Invoice), SCHEMAS.schema_for(Colour)]
    for schema in schemas:
        assert required(schema.schema) == {"value"}
        assert schema.schema["additionalProperties"] is False


def test_dicts_stay_open_objects() -> None:
    schema = SCHEMAS.schema_for(dict[str, int]).schema
    assert schema == {"type": "object", "additionalProperties": {"type": "integer"}}


def test_definitions_are_kept_at_the_root() -> None:
    schema = SCHEMAS.schema_for(list[Line]).schema
    assert at(schema, "properties.value.items") == {"$ref": "#/$defs/Line"}
    assert at(schema, "$defs.Line.description") == "One line of an invoice."


def test_a_recursive_type_is_an_object_at_its_root() -> None:
    schema = SCHEMAS.schema_for(Node).schema
    assert required(schema) == {"value", "children"}
    assert at(schema, "properties.children.items") == {"$ref": "#/$defs/Node"}
    assert at(schema, "$defs.Node.properties.value.type") == "integer"


def test_objects_are_closed_unless_the_type_is_open() -> None:
    assert SCHEMAS.schema_for(Line).schema["additionalProperties"] is False
    assert SCHEMAS.schema_for(Empty).schema["additionalProperties"] is False
    assert SCHEMAS.schema_for(Open).schema["additionalProperties"] is True


def test_a_field_is_required_when_a_model_need_not_invent_it() -> None:
    schema = SCHEMAS.schema_for(Invoice).schema
    assert required(schema) == {"number", "place", "lines", "first", "last", "colour", "tags"}
    assert required(SCHEMAS.schema_for(Options).schema) == {"name"}
    assert "default" not in str(at(schema, "properties.lines.type"))


def test_a_default_is_said_in_the_description() -> None:
    schema = SCHEMAS.schema_for(Line).schema
    assert at(schema, "properties.text") == {"description": 'What was sold (default: "-")', "type": "string"}
    assert at(schema, "properties.unit") == {"const": "piece", "type": "string"}
    assert not re.search(r"'default'", str(SCHEMAS.schema_for(Invoice).schema))


def test_a_reference_stands_alone() -> None:
    first = at(SCHEMAS.schema_for(Invoice).schema, "properties.first")
    assert isinstance(first, Mapping)
    assert first["anyOf"] == [{"$ref": "#/$defs/Line"}]
    assert str(first["description"]).startswith("The first (default: ")


def test_patterns_that_vendors_cannot_run_are_left_to_the_decoder() -> None:
    schema = SCHEMAS.schema_for(Invoice).schema
    assert at(schema, "properties.number") == {"type": "string"}
    assert at(schema, "properties.place.pattern") == r"^\w+$"


def test_sets_are_lists_for_the_model() -> None:
    assert at(SCHEMAS.schema_for(set[int]).schema, "properties.value") == {
        "type": "array",
        "items": {"type": "integer"},
    }


def test_named_tuples_are_objects_by_name() -> None:
    schema = SCHEMAS.schema_for(Point).schema
    assert required(schema) == {"x", "y", "depth"}
    assert SCHEMAS.schema_for(Point).decode('{"x": 1, "y": 2, "depth": 3}') == Point(1, 2, 3)
    assert SCHEMAS.schema_for(Point).decode("[1, 2, 3]") == Point(1, 2, 3)


def test_tagged_unions_are_plain_alternatives() -> None:
    pet = at(SCHEMAS.schema_for(Order).schema, "properties.pet")
    assert pet == {"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}
