"""Schemas become what Gemini can be held to; what cannot be said is refused by name, or said in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import CapabilityError
from loomwire.domain.tools import schema_problem
from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.gemini.schema import json_schema, open_schema, output_schema, tool_schema

PLACE: JSONObject = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        (PLACE, PLACE),
        ({"const": "a"}, {"enum": ["a"]}),
        ({"const": None}, {"type": "null"}),
        ({"type": "string", "default": "a", "examples": ["b"], "$schema": "x"}, {"type": "string"}),
        ({"enum": ["a", None]}, {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]}),
        ({"enum": [1, 2]}, {"enum": [1, 2]}),
        ({"enum": [1, None]}, {"anyOf": [{"type": "integer", "enum": [1]}, {"type": "null"}]}),
        ({"enum": [1.5, None]}, {"anyOf": [{"type": "number", "enum": [1.5]}, {"type": "null"}]}),
        ({"type": "integer", "exclusiveMinimum": 0}, {"type": "integer", "minimum": 1}),
        ({"type": "integer", "exclusiveMaximum": 9}, {"type": "integer", "maximum": 8}),
        ({"allOf": [{"type": "string"}], "description": "d"}, {"type": "string", "description": "d"}),
        (
            {"definitions": {"A": {"const": "a"}}, "$ref": "#/definitions/A", "description": "d"},
            {"$defs": {"A": {"enum": ["a"]}}, "$ref": "#/$defs/A"},
        ),
        ({"allOf": [{"$ref": "#/$defs/A"}], "title": "t"}, {"$ref": "#/$defs/A"}),
        ({"oneOf": [{"type": "string"}, True]}, {"oneOf": [{"type": "string"}, {}]}),
        ({"type": "array", "prefixItems": [{"const": "a"}]}, {"type": "array", "prefixItems": [{"enum": ["a"]}]}),
        (
            {"type": "object", "additionalProperties": {"const": "a"}},
            {"type": "object", "additionalProperties": {"enum": ["a"]}},
        ),
        (
            {"properties": {"title": {"type": "string"}, "const": {"const": "a"}}},
            {"properties": {"title": {"type": "string"}, "const": {"enum": ["a"]}}},
        ),
    ],
)
def test_json_schema_is_what_the_newer_field_takes(schema: JSONObject, wanted: JSONObject) -> None:
    assert output_schema(schema, "responseJsonSchema", strict=True) == ("responseJsonSchema", wanted)


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        (PLACE, {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}),
        ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}),
        ({"type": "null"}, {"nullable": True, "type": "NULL"}),
        ({"const": None}, {"type": "NULL"}),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "t"},
            {"type": "STRING", "nullable": True, "title": "t"},
        ),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}),
        ({"enum": ["a", None]}, {"nullable": True, "type": "STRING", "enum": ["a"]}),
        ({"type": "string", "pattern": "^a$", "maxLength": 9}, {"type": "STRING", "pattern": "^a$", "maxLength": 9}),
        ({"type": "string", "format": "date-time"}, {"type": "STRING", "format": "date-time"}),
        (
            {
                "$defs": {"A/b": {"type": "string"}},
                "items": {"$ref": "#/$defs/A~1b", "description": "d"},
                "type": "array",
            },
            {"type": "ARRAY", "items": {"type": "STRING", "description": "d"}},
        ),
    ],
)
def test_the_subset_of_openapi_is_what_the_older_field_takes(schema: JSONObject, wanted: JSONObject) -> None:
    assert output_schema(schema, "responseSchema", strict=True) == ("responseSchema", wanted)
    assert tool_schema(schema, strict=True) == wanted


def test_the_field_that_can_say_it_is_taken() -> None:
    assert output_schema({"type": "string", "minLength": 1}, "responseJsonSchema", strict=True)[0] == "responseSchema"
    assert output_schema({"$defs": {"A": {"$ref": "#/$defs/A"}}, "$ref": "#/$defs/A"}, "responseSchema", strict=True)[
        0
    ] == ("responseJsonSchema")


@pytest.mark.parametrize(
    ("keyword", "schema"),
    [
        ("not", {"not": {"type": "string"}}),
        ("patternProperties", {"patternProperties": {"^a": {"type": "string"}}}),
        ("multipleOf", {"type": "integer", "multipleOf": 2}),
        ("uniqueItems", {"type": "array", "uniqueItems": True}),
        ("if", {"if": {"type": "string"}}),
        ("const", {"const": True}),
        ("enum", {"enum": [True, "a"]}),
        ("enum", {"enum": [{"a": 1}]}),
        ("allOf", {"allOf": [{"type": "string"}, {"type": "integer"}]}),
        ("allOf", {"type": "string", "allOf": [{"type": "integer"}]}),
        ("exclusiveMinimum", {"type": "number", "exclusiveMinimum": 0}),
        ("$ref", {"$ref": "https://x.example/schema.json"}),
        ("false", {"items": False}),
        ("$ref", {"$defs": {"A": {"type": "string"}}, "$ref": "#/$defs/A", "minItems": 1, "format": "uuid"}),
        ("propertyNames", {"type": "object", "propertyNames": {"pattern": "a"}}),
    ],
)
def test_what_no_field_can_say_is_refused_by_name(keyword: str, schema: JSONObject) -> None:
    with pytest.raises(CapabilityError, match=repr(keyword).replace("$", r"\$")):
        output_schema(schema, "responseJsonSchema", strict=True)
    with pytest.raises(CapabilityError):
        tool_schema(schema, strict=True)
    field, made = output_schema(schema, "responseJsonSchema", strict=False)
    assert field == "responseJsonSchema"
    assert keyword in str(made)


@pytest.mark.parametrize(
    ("keyword", "schema"),
    [
        ("format", {"type": "string", "format": "uuid"}),
        ("enum", {"enum": [1, 2]}),
        ("additionalProperties", {"type": "object", "additionalProperties": {"type": "string"}}),
        ("$ref", {"$defs": {"A": {"items": {"$ref": "#/$defs/A"}}}, "$ref": "#/$defs/A"}),
        ("$ref", {"$ref": "#/$defs/Nowhere"}),
        ("$ref", {"$defs": {"A": {}}, "$ref": "#/$defs/A", "minLength": 1}),
        ("anyOf", {"type": ["string", "integer"], "anyOf": [{"type": "string"}, {"type": "integer"}]}),
    ],
)
def test_tools_in_the_older_way_say_in_words_what_they_cannot_say_otherwise(keyword: str, schema: JSONObject) -> None:
    with pytest.raises(CapabilityError, match=keyword.replace("$", r"\$")):
        tool_schema(schema, strict=True)
    assert f"({keyword}: " in str(tool_schema(schema, strict=False))


KEYWORDS: tuple[str, ...] = (
    "type",
    "enum",
    "const",
    "items",
    "properties",
    "anyOf",
    "allOf",
    "$ref",
    "$defs",
    "pattern",
    "title",
    "not",
)
SCHEMAS: st.SearchStrategy[JSON] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["string", "null", "#/$defs/a", "object"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from((*KEYWORDS, "a")), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(KEYWORDS), SCHEMAS, max_size=5), st.booleans())
def test_any_schema_is_written_or_refused(schema: JSONObject, strict: bool) -> None:
    if schema_problem(schema) is not None:
        return
    for field in ("responseJsonSchema", "responseSchema"):
        try:
            assert isinstance(output_schema(schema, field, strict=strict)[1], dict)
        except CapabilityError:
            assert strict
    assert isinstance(json_schema(schema, strict=False), dict)
    assert isinstance(open_schema(schema, strict=False), dict)
