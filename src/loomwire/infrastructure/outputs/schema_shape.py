"""Gives a type's JSON Schema the shape that vendors take: an object, closed, and as exact as the type allows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from typing_extensions import override

from loomwire.domain.values import JSON, JSONObject

if TYPE_CHECKING:
    from pydantic_core import core_schema

WRAPPER = "value"
"""The one property of the object that carries a type which is no object itself."""

_LOOKAROUND = re.compile(r"\(\?<?[=!]")
_MAX_DEFAULT = 200
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "$defs", "patternProperties")
_SINGLE = ("items", "additionalProperties", "contains", "propertyNames", "not")


class SchemaGenerator(GenerateJsonSchema):
    """pydantic's generator, tuned for models as readers: named tuples as objects, no titles made from field names."""

    @override
    def named_tuple_schema(self, schema: core_schema.NamedTupleSchema) -> JsonSchemaValue:
        """Make it an object: decoding takes both forms, and models keep names apart better than positions."""
        fields: dict[str, JsonSchemaValue] = {}
        for field in schema["fields"]:
            alias = field.get("validation_alias")
            fields[alias if isinstance(alias, str) else field["name"]] = self.named_tuple_field_schema(field)
        required = [name for name, field in fields.items() if "default" not in field]
        return {"type": "object", "properties": fields, "required": required}

    @override
    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    @override
    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Say nothing: a default that is no JSON is left out of the schema, which is right here."""


def shaped(schema: JSONObject) -> tuple[JSONObject, bool]:
    """Return the schema as an object schema, and whether the type had to be wrapped as `{"value": ...}`.

    The meaning stays; the form is what vendors take in their strict modes wherever the type allows it:

    - objects are closed, unless the type allows other keys;
    - a field with a default is required, and its description says the default, so nothing is left to chance. A field
      whose default a factory makes stays optional (lists excepted: they can be empty), for a model would invent it;
    - `oneOf` is `anyOf`; a `$ref` stands alone; patterns with lookaround and `uniqueItems` are left to the decoder.

    `$defs` are kept: every vendor with schemas takes them, and recursive types need them.

    Args:
        schema: A JSON Schema as pydantic makes it.
    """
    tidy = _tidy(schema)
    definitions = tidy.pop("$defs", None)
    target = _target(tidy, definitions)
    wrap = target.get("type") != "object"
    root = _closed({WRAPPER: tidy}) if wrap else target
    return root if definitions is None else {**root, "$defs": definitions}, wrap


def _target(schema: JSONObject, definitions: JSON) -> JSONObject:
    # pydantic makes the root a reference when the type is recursive.
    reference = schema.get("$ref")
    if isinstance(reference, str) and isinstance(definitions, Mapping):
        found = definitions.get(reference.removeprefix("#/$defs/"))
        return found if isinstance(found, Mapping) else {}
    return schema


def _closed(properties: JSONObject) -> JSONObject:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _tidy(schema: JSONObject) -> dict[str, JSON]:
    tidy: dict[str, JSON] = {key: _tidy_keyword(key, value) for key, value in schema.items()}
    tidy.pop("uniqueItems", None)
    if "oneOf" in tidy and "anyOf" not in tidy:
        tidy["anyOf"] = tidy.pop("oneOf")
        tidy.pop("discriminator", None)
    if isinstance(pattern := tidy.get("pattern"), str) and _LOOKAROUND.search(pattern):
        del tidy["pattern"]
    if isinstance(properties := tidy.get("properties"), Mapping):
        tidy.setdefault("additionalProperties", False)
        tidy |= _fields(properties, tidy.get("required"))
    if "$ref" in tidy and tidy.keys() - {"$ref", "$defs"}:
        tidy["anyOf"] = [{"$ref": tidy.pop("$ref")}]
    return tidy


def _fields(properties: JSONObject, required: JSON) -> dict[str, JSON]:
    named = _listed(required)
    fields: dict[str, JSON] = {}
    needed: list[str] = []
    for name, field in properties.items():
        fields[name], sure = _field(field) if isinstance(field, Mapping) else (field, False)
        if sure or name in named:
            needed.append(name)
    return {"properties": fields, "required": needed}


def _field(field: JSONObject) -> tuple[JSONObject, bool]:
    """Return the field without its default, and whether a model can always give it without inventing anything."""
    if "default" not in field:
        return field, field.get("type") == "array"
    plain = {key: value for key, value in field.items() if key != "default"}
    default = json.dumps(field["default"], ensure_ascii=False)
    if field["default"] is None:
        return plain, _takes_null(plain)
    if len(default) > _MAX_DEFAULT:
        return plain, False
    if "const" in field:
        return plain, True
    return {**plain, "description": f"{plain.get('description', '')} (default: {default})".lstrip()}, True


def _takes_null(schema: JSONObject) -> bool:
    alternatives = _listed(schema.get("anyOf"))
    return schema.get("type") == "null" or {"type": "null"} in alternatives or None in _listed(schema.get("enum"))


def _listed(value: JSON) -> Sequence[JSON]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _tidy_keyword(key: str, value: JSON) -> JSON:
    if key in _MAPS and isinstance(value, Mapping):
        return {name: _tidy_part(child) for name, child in value.items()}
    if key in _LISTS and isinstance(value, Sequence):
        return [_tidy_part(child) for child in value]
    return _tidy_part(value) if key in _SINGLE else value


def _tidy_part(value: JSON) -> JSON:
    return _tidy(value) if isinstance(value, Mapping) else value
