"""Schemas are written in the vendor's subset, never weaker; what it cannot say is refused by name."""

from __future__ import annotations

import pytest

from loomwire.domain.errors import CapabilityError
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.schemas.claude import closed_schema, expressible

TEXT: JSON = {"type": "string"}


def test_objects_are_closed_everywhere_and_notes_that_bind_nothing_go() -> None:
    schema: dict[str, JSON] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Order",
        "type": "object",
        "properties": {"lines": {"type": "array", "items": {"type": "object", "properties": {"name": TEXT}}}},
        "required": ["lines"],
        "examples": [],
    }
    assert closed_schema(schema) == {
        "title": "Order",
        "type": "object",
        "properties": {
            "lines": {
                "type": "array",
                "items": {"type": "object", "properties": {"name": TEXT}, "additionalProperties": False},
            }
        },
        "required": ["lines"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        (
            {"type": ["string", "null"], "format": "date"},
            {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        ),
        ({"type": ["string"], "description": "d"}, {"type": "string", "description": "d"}),
        ({"type": "string", "pattern": "^a+$", "minLength": 0}, {"type": "string", "pattern": "^a+$"}),
        ({"type": "string", "maximum": 3}, {"type": "string"}),
        (
            {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": False},
            {"type": "array", "items": TEXT, "minItems": 1},
        ),
        ({"enum": ["a", 1, None]}, {"enum": ["a", 1, None]}),
        ({"type": "integer", "const": 3, "default": 3}, {"type": "integer", "const": 3, "default": 3}),
        ({"anyOf": [TEXT, {"type": "null"}], "default": None}, {"anyOf": [TEXT, {"type": "null"}], "default": None}),
        ({"oneOf": [TEXT]}, {"anyOf": [TEXT]}),
        (
            {"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": TEXT}},
            {"anyOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": TEXT}},
        ),
        (
            {"oneOf": [{"$ref": "#/$defs/A", "description": "one"}], "discriminator": {}, "$defs": {"A": TEXT}},
            {"anyOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": TEXT}},
        ),
        (
            {"oneOf": [TEXT, {"type": "null"}], "discriminator": {"propertyName": "kind"}},
            {"anyOf": [TEXT, {"type": "null"}]},
        ),
        (
            {"$ref": "#/definitions/A", "definitions": {"A": TEXT}},
            {"$ref": "#/definitions/A", "definitions": {"A": TEXT}},
        ),
    ],
)
def test_a_schema_says_the_same_in_the_subset(schema: dict[str, JSON], written: dict[str, JSON]) -> None:
    assert closed_schema(schema) == written
    assert expressible(schema) == written


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"type": "integer", "minimum": 1}, "minimum"),
        ({"type": "number", "multipleOf": 2}, "multipleOf"),
        ({"type": "string", "maxLength": 3}, "maxLength"),
        ({"type": "string", "format": "color"}, "format"),
        ({"type": "array", "items": TEXT, "minItems": 2}, "minItems"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "array", "prefixItems": [TEXT]}, "prefixItems"),
        ({"type": "object"}, "additionalProperties"),
        ({"type": "object", "properties": {}, "additionalProperties": True}, "additionalProperties"),
        ({"type": "object", "additionalProperties": TEXT}, "additionalProperties"),
        ({"type": "object", "properties": {}, "patternProperties": {}}, "patternProperties"),
        ({"oneOf": [TEXT, {"type": "null"}]}, "oneOf"),
        ({"allOf": [TEXT, {"type": "string"}]}, "allOf"),
        ({"type": "string", "not": TEXT}, "not"),
        ({"if": TEXT, "anyOf": [TEXT]}, "if"),
        ({"enum": [{"a": 1}]}, "enum"),
        ({"const": [["a"]]}, "const"),
        ({}, "without type"),
        ({"type": "array", "items": True}, "true"),
        ({"$ref": "https://example.com/schema"}, r"\$ref"),
        ({"$ref": "#/$defs/A", "minLength": 2, "$defs": {"A": TEXT}}, "minLength"),
        (
            {
                "$ref": "#/$defs/A",
                "$defs": {"A": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/A"}]}}}},
            },
            "leads back",
        ),
    ],
)
def test_what_the_subset_cannot_say_is_refused_by_its_name(schema: dict[str, JSON], word: str) -> None:
    with pytest.raises(CapabilityError, match=word):
        closed_schema(schema)
    assert expressible(schema) is None


def test_a_refusal_says_where() -> None:
    with pytest.raises(CapabilityError, match=r"minimum \(at \$\.properties\.count of output\.schema\)"):
        closed_schema({"type": "object", "properties": {"count": {"type": "integer", "minimum": 0}}})
