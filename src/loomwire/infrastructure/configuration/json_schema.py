"""The JSON Schema of the configuration, for editors: completion, and meaning, default and unit of every key."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.configuration.schema.reserved import NOT_YET, Reserved
from loomwire.infrastructure.configuration.schema.settings import Settings

RESERVED: Final = "Reserved: this release does not act on it yet."
"""What the description of such a key says."""

_REFERENCE: Final[JSONObject] = {"type": "string", "pattern": r"^\$\{[^}]+\}$"}
_NOTES: Final = frozenset({"default", "description", "title", "x-unit"})
_MAPS: Final = frozenset({"properties", "patternProperties", "$defs"})
_OWNERS: Final = {
    "providers": "Provider",
    "models": "Model",
    "clients": "Client",
    "defaults": "Defaults",
    "timeouts": "Timeouts",
    "reload": "Reload",
}


def config_json_schema(known_types: Collection[str] = (), known_dialects: Collection[str] = ()) -> JSONObject:
    """Return the schema, in JSON Schema 2020-12.

    Wherever a value is more than any text it admits `${VARIABLE}` too, because an editor sees a file before anything
    is put in. Names of providers, models and clients must be well formed.

    Args:
        known_types: What `type` of a provider may be; empty leaves it open.
        known_dialects: What its `dialect` may be; empty leaves it open.
    """
    schema = _edited(_described(Settings.model_json_schema()))
    provider = _at(schema, "$defs", "Provider", "properties")
    provider = {**provider, **_one_of(provider, "type", known_types), **_one_of(provider, "dialect", known_dialects)}
    schema = _with(schema, ("$defs", "Provider", "properties"), provider)
    for row in NOT_YET:
        schema = _marked_reserved(schema, row)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "loomwire", **schema}


def _described(schema: JSONObject) -> JSONObject:
    """Say of every key what it means, also where pydantic leaves it to the block that the key refers to."""
    blocks = {name: _at(schema, "$defs", name) for name in _at(schema, "$defs")}
    meanings = {f"#/$defs/{name}": block.get("description") for name, block in blocks.items()}
    told = {name: _told(block, meanings) for name, block in blocks.items()}
    return {**_told(schema, meanings), "$defs": told}


def _told(block: JSONObject, meanings: JSONObject) -> JSONObject:
    keys = {name: _at(block, "properties", name) for name in _at(block, "properties")}
    for name, key in keys.items():
        meaning = meanings.get(str(key.get("$ref")))
        if meaning is not None:
            keys[name] = {"description": meaning, **key}
    return {**block, "properties": keys} if keys else block


def _edited(schema: JSONObject) -> JSONObject:
    """Return a schema that suits editors, and all that is in it."""
    edited = {key: _edited_part(key, value) for key, value in schema.items() if key != "title"}
    if "patternProperties" in edited:
        edited["additionalProperties"] = False
    if "properties" in edited:
        edited["properties"] = _with_defaults(edited)
    return _with_reference(edited)


def _edited_part(key: str, value: JSON) -> JSON:
    if not isinstance(value, Mapping):
        return value
    if key in _MAPS:
        return {name: _edited(below) for name, below in value.items() if isinstance(below, Mapping)}
    return _edited(value) if key in ("items", "additionalProperties") else value


def _with_reference(schema: JSONObject) -> JSONObject:
    """Admit a reference where a value is a number, true or false, one of several words, or a text of a certain form."""
    kinds = schema.get("anyOf", [schema])
    alternatives = [kind for kind in kinds if isinstance(kind, Mapping)] if isinstance(kinds, Sequence) else []
    if not any(_is_particular(kind) for kind in alternatives):
        return schema
    notes = _notes({**alternatives[0], **schema})
    bare = [{key: value for key, value in kind.items() if key not in _NOTES} for kind in alternatives]
    return {**notes, "anyOf": [*bare, _REFERENCE]}


def _notes(schema: JSONObject) -> JSONObject:
    return {key: value for key, value in schema.items() if key in _NOTES}


def _is_particular(kind: JSONObject) -> bool:
    return kind.get("type") in ("integer", "number", "boolean") or not kind.keys().isdisjoint(
        ("enum", "const", "pattern")
    )


def _with_defaults(schema: JSONObject) -> JSONObject:
    """Say of every key that need not be there what it is then."""
    required = schema.get("required", ())
    needed = frozenset(required) if isinstance(required, Sequence) else frozenset()
    return {
        name: field
        if name in needed or "default" in field
        else {**field, "default": [] if field.get("type") == "array" else {}}
        for name, field in _at(schema, "properties").items()
        if isinstance(field, Mapping)
    }


def _one_of(properties: JSONObject, name: str, known: Collection[str]) -> JSONObject:
    field = properties.get(name)
    if not known or not isinstance(field, Mapping):
        return {}
    return {name: {**_notes(field), "anyOf": [{"enum": [*known, *([None] if "default" in field else [])]}, _REFERENCE]}}


def _marked_reserved(schema: JSONObject, row: Reserved) -> JSONObject:
    """Say in a key's description that this release does not act on it."""
    *above, key = row.path
    owner = next((_OWNERS[step] for step in reversed(above) if step in _OWNERS), None)
    place = ("properties", key) if owner is None else ("$defs", owner, "properties", key)
    field = _at(schema, *place)
    remark = f"Reserved in part: {row.says}." if row.partly else RESERVED
    said = str(field.get("description"))
    # A block that several owners share has several rows.
    return (
        schema if said.endswith(f"({remark})") else _with(schema, place, {**field, "description": f"{said} ({remark})"})
    )


def _at(schema: JSONObject, *path: str) -> JSONObject:
    for step in path:
        below = schema.get(step)
        schema = below if isinstance(below, Mapping) else {}
    return schema


def _with(schema: JSONObject, path: Sequence[str], value: JSON) -> JSONObject:
    """Return the schema with another value at a path."""
    if not path:
        return schema
    below = value if len(path) == 1 else _with(_at(schema, path[0]), path[1:], value)
    return {**schema, path[0]: below}
