"""Tools, and what is refused as a JSON Schema before a provider refuses it for money."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.tools import Tool, ToolNamed, schema_problem
from loomwire.domain.values import JSON, JSONObject

TYPES = "array, boolean, integer, null, number, object, string"
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
ANY_JSON: st.SearchStrategy[JSON] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
WORDS = st.sampled_from(
    [
        *("type", "required", "enum", "items", "additionalProperties", "not", "if", "then", "else", "contains"),
        *("propertyNames", "anyOf", "oneOf", "allOf", "prefixItems", "properties", "$defs", "definitions"),
        *("patternProperties", "string", "object", "title"),
    ]
)
# JSON that looks like a schema: the words where they belong and where they do not.
SCHEMA_LIKE: st.SearchStrategy[JSON] = st.recursive(
    LEAVES | WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4)
)
PERSON: JSONObject = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "Who"},
        "age": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "prefixItems": [True]},
        "any": {},
        "type": {"type": ["string", "null"], "enum": ["a", None]},
    },
    "patternProperties": {"^x-": {"not": {"type": "null"}}},
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"tag": {"type": "string", "if": {"const": "a"}, "then": True, "else": False}},
}


def nested(levels: int) -> JSON:
    """Return a schema of lists in lists."""
    schema: JSON = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


@given(ANY_JSON | SCHEMA_LIKE)
def test_no_json_makes_the_check_raise(value: JSON) -> None:
    problem = schema_problem(value)
    assert problem is None or (problem.startswith("$") and ": " in problem)


@given(SCHEMA_LIKE)
def test_what_the_standard_accepts_is_never_refused(value: JSON) -> None:
    try:
        Draft202012Validator.check_schema(json.loads(json.dumps(value)))
    except SchemaError:
        return
    assert schema_problem(value) is None


def test_json_nested_a_thousand_times_is_refused_and_not_a_crash() -> None:
    deep: JSON = []
    for _ in range(1_000):
        deep = [deep]
    assert schema_problem({"type": deep}) == f"$.type: must be one of {TYPES}"
    assert schema_problem(nested(1_000)) == f"${'.items' * 33}: nested deeper than 32"


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        False,
        PERSON,
        nested(32),
        {"title": 5, "properties": {}},
        {"default": {"a": 5}, "const": {"type": "text"}, "examples": [5, "a"], "x-vendor": {"anyOf": []}},
    ],
)
def test_a_schema_is_accepted_and_what_only_looks_like_one_inside_it_is_left_alone(schema: JSON) -> None:
    assert schema_problem(schema) is None


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (None, "$: a schema is an object, not null"),
        ("string", "$: a schema is an object, not text"),
        (5, "$: a schema is an object, not a number"),
        (5.5, "$: a schema is an object, not a number"),
        ([], "$: a schema is an object, not a list"),
        ((), "$: a schema is an object, not a list"),
        ({"type": "text"}, f"$.type: must be one of {TYPES}"),
        ({"type": None}, f"$.type: must be one of {TYPES}"),
        ({"type": []}, f"$.type: must be one of {TYPES}"),
        ({"type": ["string", 5]}, f"$.type: must be one of {TYPES}"),
        ({"type": ["string", ["null"]]}, f"$.type: must be one of {TYPES}"),
        ({"type": {"string": 1}}, f"$.type: must be one of {TYPES}"),
        ({"required": "name"}, "$.required: must be a list of names"),
        ({"required": True}, "$.required: must be a list of names"),
        ({"required": [1]}, "$.required: must be a list of names"),
        ({"enum": "a"}, "$.enum: must be a list"),
        ({"enum": {"a": 1}}, "$.enum: must be a list"),
        ({"anyOf": []}, "$.anyOf: must be a list of schemas"),
        ({"oneOf": "abc"}, "$.oneOf: must be a list of schemas"),
        ({"allOf": None}, "$.allOf: must be a list of schemas"),
        ({"prefixItems": {}}, "$.prefixItems: must be a list of schemas"),
        ({"properties": []}, "$.properties: must be an object of schemas"),
        ({"$defs": None}, "$.$defs: must be an object of schemas"),
        ({"items": [{"type": "string"}]}, "$.items: a schema is an object, not a list"),
        ({"additionalProperties": None}, "$.additionalProperties: a schema is an object, not null"),
        ({"anyOf": [{}, {"type": "text"}]}, f"$.anyOf[1].type: must be one of {TYPES}"),
        ({"properties": {"a": {"items": {"enum": 1}}}}, "$.properties.a.items.enum: must be a list"),
        ({"properties": {"a": "string"}}, "$.properties.a: a schema is an object, not text"),
        ({"definitions": {"a": {"not": 1}}}, "$.definitions.a.not: a schema is an object, not a number"),
    ],
)
def test_what_is_no_schema_is_named_with_its_place(schema: JSON, problem: str) -> None:
    assert schema_problem(schema) == problem


@pytest.mark.parametrize("name", ["a", "get_weather", "get-weather-2", "A" * 64])
def test_a_tool_may_have_a_name_that_every_provider_accepts(name: str) -> None:
    assert Tool(name).name == name


@pytest.mark.parametrize("name", ["", "get weather", "wetter.de", "größe", "a" * 65, "a\n", "a/b"])
def test_a_tool_with_another_name_is_refused(name: str) -> None:
    with pytest.raises(LLMValidationError, match="must be 1 to 64 letters, digits"):
        Tool(name)


def test_a_tool_needs_no_parameters_but_they_must_be_an_object() -> None:
    assert Tool("now") == Tool("now", "", {}, strict=False)
    assert Tool("find", "Find a person.", PERSON, strict=True).parameters is PERSON
    with pytest.raises(LLMValidationError, match=r"tool 'now': .*must have type 'object'"):
        Tool("now", parameters={"type": "string"})
    with pytest.raises(LLMValidationError, match=r"tool 'now': parameters are no JSON Schema: \$\.properties: must be"):
        Tool("now", parameters={"type": "object", "properties": []})


def test_a_forced_tool_is_a_value() -> None:
    assert ToolNamed("a") == ToolNamed("a") != ToolNamed("b")
