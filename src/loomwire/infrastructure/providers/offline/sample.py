"""Makes up a small value that fits a JSON Schema, for offline replies that say "whatever fits"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar
from urllib.parse import unquote

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.offline.scalars import integer_for, number_for, text_for
from loomwire.infrastructure.providers.offline.schemas import (
    NothingFitsError,
    count,
    items,
    mapping,
    merged,
    names,
    object_schema,
)

T = TypeVar("T")

_MOST_VALUES: Final = 10_000
_SPEAKS_OF: Mapping[str, str] = {
    **dict.fromkeys(("properties", "required", "additionalProperties", "minProperties", "maxProperties"), "object"),
    **dict.fromkeys(("items", "prefixItems", "minItems", "maxItems", "uniqueItems"), "array"),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), "number"),
}
_HINT = "Write the JSON out in the rule."


def instance_of(schema: JSON) -> JSON:
    """Make up a value that fits a JSON Schema; the same schema always gives the same value.

    Knows types, `const`, `enum`, `$ref`, `allOf`, `anyOf`, `oneOf`, objects, arrays, formats, lengths and ranges, and
    patterns that a common word fits. Recursion ends at the first chance. Not looked at: `not`, `if`, `contains`,
    `propertyNames`, `patternProperties`, dependencies, and whether an example of `oneOf` fits two options.

    Raises:
        LLMValidationError: Nothing small fits; the message says why.

    Example:
        >>> instance_of({"type": "object", "properties": {"name": {"type": "string"}, "age": {"minimum": 18}}})
        {'name': 'text', 'age': 18}
    """
    try:
        return _Sampler(schema).value(schema)
    except NothingFitsError as error:
        why = str(error)
    except RecursionError:
        why = "it is nested too deeply"
    raise LLMValidationError(f"no example of the requested JSON Schema can be made up: {why}", hint=_HINT)


class _Sampler:
    """One walk through one schema."""

    def __init__(self, root: JSON) -> None:
        self._root = root
        self._active: frozenset[str] = frozenset()
        self._count = 0
        self._builders: Mapping[str, Callable[[JSONObject], JSON]] = {
            "object": self._object,
            "array": self._array,
            "string": text_for,
            "integer": integer_for,
            "number": number_for,
            "boolean": lambda _: True,
            "null": lambda _: None,
        }

    def value(self, schema: JSON) -> JSON:
        """Return a value for a part of the schema."""
        self._count += 1
        if self._count > _MOST_VALUES:
            # Not a branch to back out of: the next one would count on.
            raise LLMValidationError(
                f"an example of the requested JSON Schema needs more than {_MOST_VALUES} values", hint=_HINT
            )
        before = self._active
        try:
            return self._chosen(self._flat(schema))
        finally:
            self._active = before

    def _flat(self, schema: JSON) -> JSONObject:
        """Return the schema with everything behind `$ref` and `allOf` merged into it."""
        flat: JSONObject = {}
        seen: frozenset[str] = frozenset()
        queue = [schema]
        while queue:
            part = object_schema(queue.pop(0))
            reference = part.get("$ref")
            if isinstance(reference, str) and reference not in seen:
                if reference in self._active:
                    # The smallest value never needs the same definition twice on one way down.
                    raise NothingFitsError(f"{reference} needs itself")
                seen |= {reference}
                queue.append(self._target(reference))
            queue += items(part.get("allOf"))
            flat = merged(flat, {key: item for key, item in part.items() if key not in ("$ref", "allOf")})
        self._active |= seen
        return flat

    def _target(self, reference: str) -> JSON:
        found = self._root
        for step in reference.split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, Mapping) else None
        if found is None or not reference.startswith("#"):
            raise NothingFitsError(f"{reference} leads nowhere")
        return found

    def _chosen(self, schema: JSONObject) -> JSON:
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            if not items(schema["enum"]):
                raise NothingFitsError("no value of an enum is left")
            return items(schema["enum"])[0]
        union = next((key for key in ("anyOf", "oneOf") if key in schema), None)
        if union is not None:
            rest = {key: item for key, item in schema.items() if key != union}
            return _first(items(schema[union]), lambda option: self.value(merged(rest, object_schema(option))))
        known = [self._builders[name] for name in _types(schema) if name in self._builders]
        return _first(known, lambda build: build(schema))

    def _object(self, schema: JSONObject) -> JSON:
        needed = [name for name in items(schema.get("required")) if isinstance(name, str)]
        other = schema.get("additionalProperties", True)
        properties = mapping(schema.get("properties"))
        spare = count(schema, "maxProperties", _MOST_VALUES) - len(needed)
        value: dict[str, JSON] = {}
        for name, child in properties.items():
            if name in needed:
                value[name] = self.value(child)
            elif spare > 0 and (made := self._optional(child)):
                value[name] = made[0]
                spare -= 1
        for name in needed:
            if name not in value:
                value[name] = self.value(other)
        while len(value) < count(schema, "minProperties", 0):
            value[f"key{len(value) + 1}"] = self.value(other)
        return value

    def _array(self, schema: JSONObject) -> JSON:
        least, most = count(schema, "minItems", 0), count(schema, "maxItems", _MOST_VALUES)
        prefix = items(schema.get("prefixItems"))
        other = schema.get("items", True)
        wanted = max(least, len(prefix) or int("items" in schema))
        value: list[JSON] = []
        while len(value) < min(wanted, most):
            child = prefix[len(value)] if len(value) < len(prefix) else other
            made = [self.value(child)] if len(value) < least else self._optional(child)
            if not made:
                break
            value += made
        if len(value) < least or (schema.get("uniqueItems") is True and len(value) > 1 and _repeats(value)):
            raise NothingFitsError("a list needs more different items than can be made up")
        return value

    def _optional(self, schema: JSON) -> list[JSON]:
        try:
            return [self.value(schema)]
        except NothingFitsError:
            return []


def _first(options: Iterable[T], build: Callable[[T], JSON]) -> JSON:
    why = "there is nothing to choose from"
    for option in options:
        try:
            return build(option)
        except NothingFitsError as error:
            why = str(error)
    raise NothingFitsError(why)


def _types(schema: JSONObject) -> list[str]:
    """Return the schema's types; one that names none gets the type its keywords speak of."""
    if "type" in schema:
        return names(schema["type"])
    return [next((_SPEAKS_OF[key] for key in schema if key in _SPEAKS_OF), "string")]


def _repeats(values: Sequence[JSON]) -> bool:
    return any(value in values[:place] for place, value in enumerate(values))
