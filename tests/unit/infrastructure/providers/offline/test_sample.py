from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.sample import instance_of

Schema = dict[str, JSON]

FORMATS = ["date", "date-time", "email", "ipv4", "ipv6", "time", "uuid", "uri", "hostname", "duration", "unheard-of"]
PLAIN: list[Schema] = [
    {"type": "boolean"},
    {"type": "null"},
    {},
    {"type": ["string", "null"]},
    {"minimum": 18},
]
REFERENCES: list[Schema] = [
    {"$ref": "#/$defs/Node"},
    {"$ref": "#/$defs/Kind"},
    {"allOf": [{"$ref": "#/$defs/Age"}]},
]
NAMES = st.sampled_from(["a", "b", "c", "d", "e/f", "g~h", "i j", "ü"])


def valid(schema: JSON) -> JSON:
    """Return the instance of a schema, checked by an independent judge, and the same each time."""
    value = instance_of(schema)
    judged = json.loads(json.dumps(value))
    assert isinstance(schema, Mapping | bool)
    judge = jsonschema.Draft202012Validator
    judge(schema, format_checker=judge.FORMAT_CHECKER).validate(judged)
    assert json.dumps(instance_of(schema)) == json.dumps(value)
    return value


@st.composite
def numbers(draw: st.DrawFn) -> Schema:
    """Draw an integer or a number with bounds between which something lies."""
    whole = draw(st.booleans())
    low = draw(st.integers(-1000, 1000))
    schema: Schema = {"type": "integer" if whole else "number"}
    step = draw(st.sampled_from([None, 1, 3, 7, 0.5, 2.5, 0.25]))
    if step is not None:
        schema["multipleOf"] = step
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = low + draw(st.integers(16, 50))
    return schema


@st.composite
def texts(draw: st.DrawFn) -> Schema:
    """Draw a text with lengths or a format."""
    if draw(st.booleans()):
        return {"type": "string", "format": draw(st.sampled_from(FORMATS))}
    low = draw(st.integers(0, 40))
    return {"type": "string", "minLength": low, "maxLength": low + draw(st.integers(0, 20))}


def scalars() -> st.SearchStrategy[Schema]:
    """Draw a schema without parts."""
    anything = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
    return st.one_of(
        numbers(),
        texts(),
        st.sampled_from(PLAIN),
        anything.map(lambda value: {"const": value}),
        st.lists(anything, min_size=1, max_size=3).map(lambda values: {"enum": values}),
    )


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Schema]) -> Schema:
    """Draw an object with some of its properties required."""
    properties = draw(st.dictionaries(NAMES, inner, max_size=4))
    required: list[JSON] = draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
    schema: Schema = {"type": "object", "properties": properties, "required": required}
    more = draw(st.sampled_from(["open", "closed", "typed"]))
    if more != "open":
        schema["additionalProperties"] = draw(inner) if more == "typed" else False
    if more != "closed" and draw(st.booleans()):
        schema["minProperties"] = draw(st.integers(0, 5))
    elif draw(st.booleans()):
        schema["maxProperties"] = draw(st.integers(len(required), 6))
    return schema


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[Schema]) -> Schema:
    """Draw a list."""
    schema: Schema = {"type": "array"}
    if draw(st.booleans()):
        schema["items"] = draw(inner)
    if draw(st.booleans()):
        schema["prefixItems"] = draw(st.lists(inner, min_size=1, max_size=3))
    low = draw(st.integers(0, 4))
    schema["minItems"] = low
    if draw(st.booleans()):
        schema["maxItems"] = low + draw(st.integers(0, 3))
    return schema


def composed(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    """Draw a schema of parts."""
    return st.one_of(
        objects(inner),
        arrays(inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
        st.sampled_from(REFERENCES),
    )


DEFINITIONS: Schema = {
    "Age": {"type": "integer", "minimum": 18},
    "Kind": {"$ref": "#/$defs/RealKind"},
    "RealKind": {"enum": ["b", "a"]},
    "Node": {
        "type": "object",
        "properties": {
            "value": {"type": "integer"},
            "left": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
            "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            "maybe": {"$ref": "#/$defs/Node"},
        },
        "required": ["value", "left", "children"],
    },
}


@given(st.recursive(scalars(), composed, max_leaves=12))
def test_the_instance_of_any_schema_is_valid(schema: Schema) -> None:
    valid({**schema, "$defs": DEFINITIONS})


class Line(BaseModel):
    """A line of an invoice."""

    sku: str = Field(min_length=2)
    count: int = Field(gt=0, le=9)
    price: float | None
    tags: set[str]


class Invoice(BaseModel):
    """What a host might ask for."""

    number: str = Field(pattern=r"^[A-Z]\d$")
    lines: list[Line] = Field(min_length=2)
    pair: tuple[int, str]
    by_name: dict[str, Line] = Field(min_length=1)
    parent: Invoice | None = None


def test_models_of_pydantic_accept_what_their_schema_makes_up() -> None:
    text = json.dumps(valid(Invoice.model_json_schema()))
    invoice = Invoice.model_validate_json(text, strict=True)
    assert len(invoice.lines) == 2
    assert invoice.number == "A1"


CASES: Sequence[tuple[JSON, JSON]] = [
    (True, "text"),
    ({"properties": {"a": {"type": "boolean"}}}, {"a": True}),
    ({"items": {"type": "null"}}, [None]),
    ({"maximum": -5}, -5),
    ({"type": "integer", "exclusiveMinimum": 0.5}, 1),
    ({"type": "integer", "minimum": 10, "multipleOf": 2.5}, 10),
    ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}, 0.25),
    ({"type": "number", "minimum": 0.1, "multipleOf": 0.1}, 1),
    ({"type": "integer", "exclusiveMinimum": True, "minimum": 4}, 4),
    ({"type": "string", "minLength": 6}, "texttext"),
    ({"type": "string", "maxLength": 2}, "te"),
    ({"type": "string", "pattern": "^[0-9]{2}$"}, "00"),
    ({"type": "string", "pattern": "^[0-9-]{10}$"}, "2026-01-31"),
    ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "null"}], "items": False}, [1, None]),
    ({"type": "array", "items": False}, []),
    ({"type": "array", "uniqueItems": True, "prefixItems": [{"const": 1}, {"const": 2}]}, [1, 2]),
    ({"oneOf": [False, {"const": 7}]}, 7),
    ({"type": ["null", "string"]}, None),
    ({"type": "object", "required": ["x"], "additionalProperties": {"type": "integer"}}, {"x": 1}),
    ({"type": "object", "properties": {"no": False, "yes": True}}, {"yes": "text"}),
    ({"$ref": "#/a~1b/c%20d", "a/b": {"c d": {"const": 1}}}, 1),
    ({"$ref": "#/$defs/A", "minimum": 5, "$defs": {"A": {"type": "integer"}}}, 5),
    ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"const": 3}}}, 3),
]


@pytest.mark.parametrize(("schema", "expected"), CASES, ids=[json.dumps(schema) for schema, _ in CASES])
def test_an_instance_is_small_and_known_in_advance(schema: JSON, expected: JSON) -> None:
    assert valid(schema) == expected


MERGES: Sequence[tuple[list[JSON], JSON]] = [
    ([{"minimum": 3}, {"minimum": 5}, {"maximum": 9}, {"maximum": 7}, {"type": "integer"}], 5),
    ([{"type": "number"}, {"type": "integer", "minimum": 2}], 2),
    ([{"type": ["string", "null"]}, {"type": ["null", "object"]}], None),
    ([{"enum": [1, 2, 3]}, {"enum": [3, 2]}], 2),
    ([{"anyOf": [{"type": "string"}, {"type": "integer"}]}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}], 1),
    ([{"items": {"minimum": 3}}, {"items": {"type": "integer"}}], [3]),
    (
        [
            {"type": "object", "properties": {"a": {"minimum": 4}}, "required": ["a"]},
            {"properties": {"a": {"type": "integer"}, "b": {"const": 1}}, "required": ["b"]},
        ],
        {"a": 4, "b": 1},
    ),
    ([{"type": "string", "format": "date"}, {"format": "email"}], "someone@example.com"),
]


@pytest.mark.parametrize(("parts", "expected"), MERGES, ids=[json.dumps(parts) for parts, _ in MERGES])
def test_all_of_is_merged_before_a_value_is_made_up(parts: list[JSON], expected: JSON) -> None:
    assert instance_of({"allOf": parts}) == expected


IMPOSSIBLE: Sequence[tuple[JSON, str]] = [
    (False, "allows nothing"),
    ({"enum": []}, "no value of an enum is left"),
    ({"allOf": [{"enum": [1]}, {"enum": [2]}]}, "no value of an enum is left"),
    ({"anyOf": []}, "nothing to choose from"),
    ({"anyOf": [False, False]}, "allows nothing"),
    ({"type": []}, "nothing to choose from"),
    ({"type": "stone"}, "nothing to choose from"),
    ({"type": "integer", "minimum": 1, "exclusiveMaximum": 1}, "no number"),
    ({"type": "string", "pattern": "^zebra$"}, "no common word"),
    ({"type": "string", "pattern": "("}, "no common word"),
    ({"type": "string", "minLength": 10**9}, "no common word"),
    ({"type": "array", "minItems": 2, "uniqueItems": True, "items": {"const": 1}}, "different items"),
    ({"type": "array", "minItems": 2, "maxItems": 1}, "different items"),
    ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "allows nothing"),
    ({"$ref": "#/$defs/Gone"}, "leads nowhere"),
    ({"$ref": "https://example.com/schema.json"}, "leads nowhere"),
    ({"$ref": "#", "type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "needs itself"),
]


@pytest.mark.parametrize(("schema", "why"), IMPOSSIBLE, ids=[why + json.dumps(schema) for schema, why in IMPOSSIBLE])
def test_what_cannot_be_made_up_is_a_typed_error_that_says_why(schema: JSON, why: str) -> None:
    with pytest.raises(LLMValidationError, match=why):
        instance_of(schema)


def test_definitions_that_refer_only_to_each_other_end() -> None:
    assert (
        instance_of({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}}) == "text"
    )


def doubling(depth: int) -> Schema:
    """Return a schema whose smallest value has two to the power of `depth` leaves."""
    defs: Schema = {"D0": {"const": 0}}
    for level in range(1, depth + 1):
        properties: Schema = {name: {"$ref": f"#/$defs/D{level - 1}"} for name in ("l", "r")}
        defs[f"D{level}"] = {"type": "object", "properties": properties, "required": ["l", "r"]}
    return {"$ref": f"#/$defs/D{depth}", "$defs": defs}


def test_a_schema_that_explodes_is_refused_in_time() -> None:
    with pytest.raises(LLMValidationError, match="needs more than 10000 values"):
        instance_of(doubling(40))


def test_a_list_of_a_billion_items_is_refused_in_time() -> None:
    with pytest.raises(LLMValidationError, match="needs more than 10000 values"):
        instance_of({"type": "array", "minItems": 10**9})


def test_a_schema_nested_too_deeply_is_a_typed_error() -> None:
    schema: JSON = {"const": 1}
    for _ in range(2000):
        schema = {"type": "array", "items": schema, "minItems": 1}
    with pytest.raises(LLMValidationError, match="nested too deeply"):
        instance_of(schema)
