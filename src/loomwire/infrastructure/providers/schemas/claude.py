"""Writes JSON Schemas in the subset that `output_config.format` knows, never weaker than they were.

The vendor wants every object closed, so an object that says nothing about further properties is closed here: whatever
fits the closed schema fits the caller's. What cannot be said is refused by its keyword's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loomwire.domain.errors import CapabilityError
from loomwire.domain.values import JSON, JSONObject

_NOTES = frozenset(
    {"$schema", "$id", "$comment", "$anchor", "examples", "deprecated", "readOnly", "writeOnly", "discriminator"}
)
_KEPT_NOTES = ("title", "description", "default")
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
# A keyword of another type binds nothing.
_OF_TYPE: Mapping[str, frozenset[str]] = {
    "object": frozenset(
        {
            "properties",
            "required",
            "additionalProperties",
            "patternProperties",
            "propertyNames",
            "minProperties",
            "maxProperties",
            "dependentRequired",
            "dependentSchemas",
            "unevaluatedProperties",
        }
    ),
    "array": frozenset(
        {"items", "prefixItems", "contains", "minContains", "maxContains", "minItems", "maxItems", "uniqueItems"}
    ),
    "string": frozenset({"minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
}
_TYPED = frozenset().union(*_OF_TYPE.values())
_DEFINITIONS = ("$defs", "definitions")
_BINDS_NOTHING: Mapping[str, JSON] = {"uniqueItems": False, "minLength": 0, "minProperties": 0}


def closed_schema(schema: JSONObject) -> dict[str, JSON]:
    """Return a schema as the vendor takes it.

    Raises:
        CapabilityError: It says something the vendor cannot be told; the message names the keyword and where.
    """
    named = _definitions(schema)
    _refuse_circles(named)
    return _written(schema, "$")


def expressible(schema: JSONObject) -> dict[str, JSON] | None:
    """Return a schema as the vendor takes it, or None when it says more than that."""
    try:
        return closed_schema(schema)
    except CapabilityError:
        return None


def _written(schema: JSON, where: str) -> dict[str, JSON]:
    if not isinstance(schema, Mapping):
        raise _refused("true" if schema else "false", where)
    written = _definitions_of(schema, where)
    rest = _binding(schema)
    if "$ref" in rest:
        return {**written, **_reference(rest, where)}
    written |= _kept(rest, where)
    names = _types(rest.pop("type", None))
    if len(names) > 1:
        return {**written, "anyOf": [_typed(name, dict(rest), where) for name in names]}
    written |= _variants(rest, schema, where)
    return {**written, **(_typed(names[0], rest, where) if names else _untyped(rest, written, where))}


def _binding(schema: JSONObject) -> dict[str, JSON]:
    return {key: value for key, value in schema.items() if key not in _NOTES and key not in _DEFINITIONS}


def _kept(rest: dict[str, JSON], where: str) -> dict[str, JSON]:
    notes = {key: rest.pop(key) for key in _KEPT_NOTES if key in rest}
    return notes | {key: _plain(rest.pop(key), f"{where}.{key}") for key in ("enum", "const") if key in rest}


def _definitions_of(schema: JSONObject, where: str) -> dict[str, JSON]:
    return {
        key: {name: _written(each, f"{where}.{key}.{name}") for name, each in found.items()}
        for key in _DEFINITIONS
        if isinstance(found := schema.get(key), Mapping)
    }


def _untyped(rest: dict[str, JSON], written: dict[str, JSON], where: str) -> dict[str, JSON]:
    _refuse_rest(rest, where)
    if not written.keys() & {"enum", "const", "anyOf"}:
        raise _refused("a schema without type", where)
    return {}


def _types(value: JSON) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [str(each) for each in value] if isinstance(value, Sequence) else []


def _typed(name: str, rest: dict[str, JSON], where: str) -> dict[str, JSON]:
    mine = _OF_TYPE.get("number" if name == "integer" else name, frozenset())
    rest = {key: value for key, value in rest.items() if key in mine or key not in _TYPED}
    written: dict[str, JSON] = {"type": name}
    if name == "object":
        written |= _object(rest, where)
    elif name == "array":
        written |= _array(rest, where)
    elif name == "string":
        if rest.get("format") in _FORMATS:
            written["format"] = rest.pop("format")
        if "pattern" in rest:
            written["pattern"] = rest.pop("pattern")
    _refuse_rest(rest, where)
    return written


def _object(rest: dict[str, JSON], where: str) -> dict[str, JSON]:
    properties = rest.pop("properties", None)
    if rest.pop("additionalProperties", False) is not False or not isinstance(properties, Mapping):
        # Closed, it could only be {}; open, the vendor does not take it.
        raise _refused("additionalProperties (objects with properties that have no name in the schema)", where)
    written: dict[str, JSON] = {
        "properties": {name: _written(each, f"{where}.properties.{name}") for name, each in properties.items()},
        "additionalProperties": False,
    }
    if "required" in rest:
        written["required"] = rest.pop("required")
    return written


def _array(rest: dict[str, JSON], where: str) -> dict[str, JSON]:
    written: dict[str, JSON] = {}
    if "items" in rest:
        written["items"] = _written(rest.pop("items"), f"{where}.items")
    if rest.get("minItems") in (0, 1):
        written["minItems"] = rest.pop("minItems")
    return written


def _variants(rest: dict[str, JSON], schema: JSONObject, where: str) -> dict[str, JSON]:
    word = next((word for word in ("anyOf", "oneOf", "allOf") if word in rest), None)
    if word is None:
        return {}
    variants = rest.pop(word)
    given: Sequence[JSON] = variants if isinstance(variants, Sequence) else ()
    # One of several is any of them only if no value fits two, as a discriminator promises.
    if len(given) > 1 and (word == "allOf" or (word == "oneOf" and "discriminator" not in schema)):
        raise _refused(word, where)
    return {"anyOf": [_written(each, f"{where}.{word}") for each in given]}


def _reference(rest: dict[str, JSON], where: str) -> dict[str, JSON]:
    target = rest.pop("$ref")
    if not (isinstance(target, str) and target.startswith(tuple(f"#/{key}/" for key in _DEFINITIONS))):
        raise _refused("$ref to another place than $defs", where)
    _refuse_rest({key: value for key, value in rest.items() if key not in _KEPT_NOTES}, where)
    return {"$ref": target}


def _plain(value: JSON, where: str) -> JSON:
    each = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    if any(isinstance(one, Mapping) or (isinstance(one, Sequence) and not isinstance(one, str)) for one in each):
        raise _refused("enum or const of objects and lists", where)
    return value


def _refuse_rest(rest: Mapping[str, JSON], where: str) -> None:
    for key, value in rest.items():
        if key not in _BINDS_NOTHING or value != _BINDS_NOTHING[key]:
            raise _refused(key, where)


def _definitions(schema: JSONObject) -> dict[str, JSON]:
    named: dict[str, JSON] = {}
    for key in _DEFINITIONS:
        found = schema.get(key)
        if isinstance(found, Mapping):
            named |= {f"#/{key}/{name}": each for name, each in found.items()}
    return named


def _refuse_circles(named: Mapping[str, JSON]) -> None:
    uses = {name: set(_references(each)) for name, each in named.items()}
    while uses:
        leaves = {name for name, used in uses.items() if not used & uses.keys()}
        if not leaves:
            raise _refused("$ref that leads back to itself", next(iter(uses)))
        uses = {name: used for name, used in uses.items() if name not in leaves}


def _references(value: JSON) -> list[str]:
    if isinstance(value, Mapping):
        own = value.get("$ref")
        inner = [name for each in value.values() for name in _references(each)]
        return [*inner, own] if isinstance(own, str) else inner
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [name for each in value for name in _references(each)]
    return []


def _refused(what: str, where: str) -> CapabilityError:
    return CapabilityError(
        f"the provider cannot hold an answer to {what} (at {where} of output.schema)",
        hint="Remove it, or leave the quirk json_form alone: then a tool shows the model the whole schema.",
    )
