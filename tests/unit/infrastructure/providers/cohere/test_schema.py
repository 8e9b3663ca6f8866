"""A schema reaches Cohere with the same meaning, or not at all."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from loomwire.domain.errors import CapabilityError
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.cohere.schema import cohere_schema


def of(**properties: JSON) -> Mapping[str, JSON]:
    """Return the schema of an object."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def test_what_cohere_knows_stays_as_it_is() -> None:
    schema = {
        **of(
            when={"type": "string", "format": "date-time"},
            maybe={"anyOf": [{"type": "integer"}, {"type": "null"}]},
            kind={"enum": ["a", "b"], "title": "Kind", "description": "Which."},
            some={"type": "array", "items": {"$ref": "#/$defs/Thing"}},
            minimum={"type": "string"},
            code={"type": "string", "pattern": "[A-Z]{3}|\\$|[^x]"},
        ),
        "$defs": {"Thing": {**of(a={"const": 1}), "additionalProperties": {"type": "string"}}},
        "additionalProperties": False,
    }
    assert cohere_schema(schema, strict=True) == schema


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"type": "integer", "minimum": 1}, "$.properties.a.minimum"),
        ({"type": "array", "items": {"type": "string", "maxLength": 3}}, "$.properties.a.items.maxLength"),
        ({"anyOf": [{"type": "null"}, {"not": {"type": "string"}}]}, "$.properties.a.anyOf[1].not"),
        ({"type": "string", "format": "email"}, "$.properties.a.format"),
        ({"type": "string", "pattern": "a(?!b)"}, "$.properties.a.pattern"),
        ({"type": "string", "pattern": "a^b"}, "$.properties.a.pattern"),
        ({"type": "string", "pattern": "a$b"}, "$.properties.a.pattern"),
    ],
)
def test_a_keyword_that_cohere_cannot_be_held_to_is_named(part: JSON, place: str) -> None:
    with pytest.raises(CapabilityError) as caught:
        cohere_schema(of(a=part), strict=True)
    assert caught.value.message.endswith(f" {place}")


def test_a_loose_schema_leaves_out_what_cohere_does_not_know() -> None:
    parts: JSON = {"type": "array", "items": {"type": "string", "maxLength": 3, "pattern": "a(?!b)"}, "minItems": 2}
    assert cohere_schema(of(a=parts), strict=False) == of(a={"type": "array", "items": {"type": "string"}})


@pytest.mark.parametrize(
    ("pattern", "told"),
    [("^[a-z]+$", "[a-z]+"), ("[a-z]+", "[a-z]+"), (r"^\d\$", r"\d\$"), ("^a|b$", "a|b")],
)
def test_a_pattern_loses_its_anchors_because_cohere_matches_whole_texts(pattern: str, told: str) -> None:
    assert cohere_schema(of(a={"pattern": pattern}), strict=True) == of(a={"pattern": told})
