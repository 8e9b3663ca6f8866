"""A schema from elsewhere is checked as a validator of JSON Schema would, and no problem says a word of the value."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from loomwire.application.agents.binding.schema_check import MAX_PROBLEMS, SchemaCheck, same_json
from loomwire.domain.values import JSON, JSONObject

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, 2.5]) | st.sampled_from("abc")
VALUES: st.SearchStrategy[JSON] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcx"), inner, max_size=3),
    max_leaves=6,
)
TYPES = st.sampled_from(["object", "array", "string", "number", "integer", "boolean", "null"])
SMALL = st.integers(0, 3)


def keywords(inner: st.SearchStrategy[JSON]) -> st.SearchStrategy[JSON]:
    """Return schemas of every keyword that is known."""
    schemas = st.lists(inner, min_size=1, max_size=2)
    named = st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=2, unique=True),
            "enum": st.lists(VALUES, max_size=3),
            "const": VALUES,
            "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
            "properties": named,
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b|x"]), inner, max_size=2),
            "additionalProperties": inner,
            "items": inner,
            "prefixItems": schemas,
            "allOf": schemas,
            "anyOf": schemas,
            "oneOf": schemas,
            "not": inner,
            "pattern": st.sampled_from(["^a", "[bc]$"]),
            "multipleOf": st.sampled_from([2, 0.5]),
            "minimum": SMALL,
            "maximum": SMALL,
            "exclusiveMinimum": SMALL,
            "exclusiveMaximum": SMALL,
            "minLength": SMALL,
            "maxLength": SMALL,
            "minItems": SMALL,
            "maxItems": SMALL,
            "minProperties": SMALL,
            "maxProperties": SMALL,
        },
    )


SCHEMAS = st.recursive(st.booleans() | keywords(st.booleans()), keywords, max_leaves=4)


@given(SCHEMAS, VALUES)
def test_it_judges_as_the_validator_that_everybody_uses(schema: JSON, value: JSON) -> None:
    wanted = Draft202012Validator(json.loads(json.dumps(schema))).is_valid(value)
    inside: JSONObject = {"allOf": [schema]}
    assert (SchemaCheck(inside).problems(value) == []) is wanted


@pytest.mark.parametrize(
    ("schema", "value", "problem"),
    [
        ({"type": ["string", "null"]}, 7, "$: must be of type string or null"),
        ({"properties": {"city": {"type": "string"}}}, {"city": 7}, "$.city: must be of type string"),
        ({"required": ["city", "day"]}, {}, "$: city, day must be given"),
        ({"additionalProperties": False}, {"sk-secret": 1}, "$.*: is not allowed"),
        ({"items": {"maximum": 2}}, [1, 3], "$[1]: must be at most 2"),
        ({"enum": ["a"]}, "sk-secret", "$: must be one of the values listed"),
        ({"anyOf": [False, False]}, 1, "$: must fit at least one of the alternatives"),
        ({"oneOf": [True, True]}, 1, "$: must fit one of the alternatives"),
        ({"not": {}}, 1, "$: must not be like this"),
        ({"$defs": {"a/b": {"type": "null"}}, "items": {"$ref": "#/$defs/a~1b"}}, [1], "$[0]: must be of type null"),
        ({"pattern": "^b"}, "sk-secret", "$: must match the pattern"),
        ({"multipleOf": 2}, 3, "$: must be a multiple of the number named"),
        ({"multipleOf": 0.5}, 0.7, "$: must be a multiple of the number named"),
        ({"const": [1]}, [True], "$: must be the one value allowed"),
        ({"exclusiveMinimum": 1}, 1, "$: must be more than 1"),
        ({"exclusiveMaximum": 1}, 1, "$: must be less than 1"),
        ({"minLength": 2}, "a", "$: must have at least 2 characters"),
        ({"maxItems": 1}, [1, 2], "$: must have at most 1 items"),
        ({"minProperties": 1}, {}, "$: must have at least 1 keys"),
        ({"patternProperties": {"^a": {"minimum": 1}}}, {"ab": 0}, "$.*: must be at least 1"),
    ],
)
def test_a_problem_says_where_and_what_but_never_the_value(schema: JSONObject, value: JSON, problem: str) -> None:
    assert SchemaCheck(schema).problems(value) == [problem]


@pytest.mark.parametrize(
    "schema",
    [{"pattern": "(?P<"}, {"multipleOf": 0}, {"format": "email"}, {"minimum": "a"}, {"$ref": "https://a.example/"}],
)
def test_what_it_does_not_know_is_left_to_the_tool(schema: JSONObject) -> None:
    assert SchemaCheck(schema).problems("c") == []
    assert SchemaCheck(schema).problems(3) == []


def test_a_number_beyond_a_float_is_left_to_the_tool() -> None:
    assert SchemaCheck({"multipleOf": 0.5}).problems(10**400) == []


def test_a_reference_to_nowhere_allows_everything() -> None:
    assert SchemaCheck({"$ref": "#/$defs/gone/deeper"}).problems(1) == []


def test_a_schema_that_refers_to_itself_ends() -> None:
    assert SchemaCheck({"$ref": "#"}).problems(1) == ["$: nested too deeply"]
    tree: JSONObject = {"properties": {"next": {"$ref": "#"}}, "required": ["value"]}
    assert SchemaCheck(tree).problems({"value": 1, "next": {"next": {"value": 2}}}) == ["$.next: value must be given"]


def test_a_hopeless_value_gets_so_many_problems_and_no_more() -> None:
    assert len(SchemaCheck({"items": False}).problems([1] * 100)) == MAX_PROBLEMS


@given(VALUES, VALUES)
def test_values_are_the_same_when_json_schema_says_so(one: JSON, other: JSON) -> None:
    constant: Mapping[str, JSON] = {"const": one}
    assert same_json(one, other) is Draft202012Validator(constant).is_valid(other)
