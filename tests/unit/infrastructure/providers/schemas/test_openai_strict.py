"""Schemas are narrowed to what the strict mode takes, refused with the keyword, and never weakened."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from loomwire.application.typed.strict import is_strict
from loomwire.domain.errors import CapabilityError
from loomwire.domain.values import JSON, FrozenDict
from loomwire.infrastructure.providers.schemas.openai_strict import strict_schema

A: Mapping[str, JSON] = {"type": "string"}
OPEN: Mapping[str, JSON] = {"type": "object", "properties": {"b": A, "a": A}, "required": ["a"]}
CLOSED: Mapping[str, JSON] = {**OPEN, "required": ["a", "b"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "narrowed"),
    [
        (OPEN, CLOSED),
        (CLOSED, CLOSED),
        ({"type": ["object", "null"], "properties": {}}, None),
        ({"type": "array", "items": OPEN}, {"type": "array", "items": CLOSED}),
        ({"anyOf": [OPEN, {"type": "null"}]}, {"anyOf": [CLOSED, {"type": "null"}]}),
        ({"$ref": "#/$defs/x", "$defs": {"x": OPEN}}, {"$ref": "#/$defs/x", "$defs": {"x": CLOSED}}),
        ({**A, "default": "x", "examples": ["y"], "$comment": "z"}, A),
        ({"enum": [1, 2], "title": "T", "description": "D"}, {"enum": [1, 2], "title": "T", "description": "D"}),
        ({"type": "string", "format": "date", "pattern": "^2"}, {"type": "string", "format": "date", "pattern": "^2"}),
    ],
)
def test_a_schema_is_narrowed_to_what_the_strict_mode_takes(
    schema: Mapping[str, JSON], narrowed: Mapping[str, JSON] | None
) -> None:
    before = json.dumps(schema)
    got = strict_schema(FrozenDict(schema), "output")
    assert is_strict(got)
    assert narrowed is None or got == narrowed
    assert json.dumps(schema) == before


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "string", "minLength": 3}, r"output: \$.minLength: .* the keyword minLength"),
        ({**OPEN, "properties": {"a": {"oneOf": [A]}}}, r"\$.properties.a.oneOf: .* the keyword oneOf"),
        ({"allOf": [A]}, "the keyword allOf"),
        ({"type": "array", "items": {"not": A}}, r"\$.items.not: "),
        ({"anyOf": [A, {"type": "string", "format": "uri"}]}, r"\$.anyOf\[1\].format: .* the format uri"),
        ({**OPEN, "additionalProperties": True}, "additionalProperties"),
        ({**OPEN, "additionalProperties": A}, "additionalProperties"),
        ({"type": "object"}, "an object of any properties"),
        ({"type": ["object", "null"]}, "an object of any properties"),
        ({**OPEN, "required": ["c"]}, "the property c, which is required and not described"),
        ({"type": "array", "items": True}, "a schema of true or false"),
    ],
)
def test_what_the_strict_mode_cannot_hold_is_refused_with_its_place(schema: Mapping[str, JSON], said: str) -> None:
    with pytest.raises(CapabilityError, match=said) as caught:
        strict_schema(schema, "output")
    assert "strict=False" in caught.value.hint


LEAVES = st.sampled_from([A, {"type": "integer", "minimum": 2}, {"enum": ["x", 3]}, {"const": None}, {"type": "null"}])


def _objects(inner: st.SearchStrategy[Mapping[str, JSON]]) -> st.SearchStrategy[Mapping[str, JSON]]:
    names = st.sampled_from(["a", "b", "c"])

    def built(properties: Mapping[str, JSON], optional: bool) -> Mapping[str, JSON]:
        return {"type": "object", "properties": properties, **({} if optional else {"required": list(properties)})}

    return st.one_of(
        st.builds(built, st.dictionaries(names, inner, max_size=3), st.booleans()),
        st.builds(lambda each: {"type": "array", "items": each, "maxItems": 3}, inner),
        st.builds(lambda several: {"anyOf": several}, st.lists(inner, min_size=1, max_size=3)),
    )


SCHEMAS = st.recursive(LEAVES, _objects, max_leaves=6)
VALUES = st.recursive(
    st.sampled_from(["x", 3, 1, None]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), inner),
    max_leaves=6,
)


@given(SCHEMAS, VALUES)
def test_whatever_fits_the_narrowed_schema_fits_the_given_one(schema: Mapping[str, JSON], value: JSON) -> None:
    narrowed = strict_schema(schema, "output")
    if Draft202012Validator(narrowed).is_valid(value):
        assert Draft202012Validator(schema).is_valid(value)
