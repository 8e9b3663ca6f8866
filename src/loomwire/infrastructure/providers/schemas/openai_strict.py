"""JSON Schemas for OpenAI's strict mode: narrowed where the mode wants it, refused where it cannot hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loomwire.domain.errors import CapabilityError
from loomwire.domain.tools import STRICT_FORMATS, STRICT_KEYWORDS
from loomwire.domain.values import JSON, JSONObject

# They demand nothing of an answer.
_REMARKS = frozenset({"$comment", "$id", "$schema", "default", "deprecated", "examples", "readOnly", "writeOnly"})


def strict_schema(schema: JSONObject, what: str) -> JSONObject:
    """Return a schema that the strict mode takes, and whose every answer fits the given one.

    Objects that say nothing of further properties are closed, and properties that may be missing are demanded, as the
    vendor's own SDK does. Nothing that the schema demands is left out.

    Args:
        schema: A JSON Schema.
        what: Whose schema it is, for the error.

    Raises:
        CapabilityError: It demands what the strict mode cannot hold a model to; the message names the keyword.
    """
    return _narrowed(schema, f"{what}: $")


def _narrowed(schema: JSON, where: str) -> JSONObject:
    narrow = _known(schema, where)
    for keyword in ("properties", "$defs"):
        named = narrow.get(keyword)
        if isinstance(named, Mapping):
            narrow[keyword] = {name: _narrowed(each, f"{where}.{keyword}.{name}") for name, each in named.items()}
    options = narrow.get("anyOf")
    if isinstance(options, Sequence):
        narrow["anyOf"] = [_narrowed(each, f"{where}.anyOf[{at}]") for at, each in enumerate(options)]
    if "items" in narrow:
        narrow["items"] = _narrowed(narrow["items"], f"{where}.items")
    if "properties" in narrow or _has_type(narrow, "object"):
        _close(narrow, where)
    return narrow


def _known(schema: JSON, where: str) -> dict[str, JSON]:
    if not isinstance(schema, Mapping):
        raise _unheld(where, "a schema of true or false")
    unknown = sorted(schema.keys() - STRICT_KEYWORDS - _REMARKS)
    if unknown:
        raise _unheld(f"{where}.{unknown[0]}", f"the keyword {unknown[0]}")
    if schema.get("format", "date") not in STRICT_FORMATS:
        raise _unheld(f"{where}.format", f"the format {schema['format']}")
    return {key: value for key, value in schema.items() if key not in _REMARKS}


def _close(narrow: dict[str, JSON], where: str) -> None:
    properties = narrow.get("properties")
    if not isinstance(properties, Mapping):
        raise _unheld(where, "an object of any properties")
    if narrow.setdefault("additionalProperties", False) is not False:
        raise _unheld(f"{where}.additionalProperties", "additionalProperties")
    required = narrow.get("required")
    named = list(map(str, required)) if isinstance(required, Sequence) else []
    unknown = [name for name in named if name not in properties]
    if unknown:
        raise _unheld(f"{where}.required", f"the property {unknown[0]}, which is required and not described")
    narrow["required"] = [*named, *(name for name in properties if name not in named)]


def _has_type(schema: JSONObject, name: str) -> bool:
    types = schema.get("type")
    return types == name or (isinstance(types, Sequence) and not isinstance(types, str) and name in types)


def _unheld(where: str, what: str) -> CapabilityError:
    return CapabilityError(
        f"{where}: the vendor's strict mode cannot hold a model to {what}",
        hint="Ask with strict=False, which sends the schema as it is, or change the schema there.",
    )
