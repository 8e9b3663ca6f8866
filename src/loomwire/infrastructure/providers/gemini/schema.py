"""Turns JSON Schemas into what Gemini can be held to, without weakening them silently.

Two fields take schemas: `responseJsonSchema` knows references and `additionalProperties`, `responseSchema` (OpenAPI's
subset, also for tools) knows patterns and lengths. Keywords that say nothing about validity are dropped where a field
does not know them. For what no field can say, strict schemas are refused, and others say it in their description.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from typing_extensions import override

from loomwire.domain.errors import CapabilityError
from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.wire.request_body import encoded

Made: TypeAlias = dict[str, JSON]

_ANNOTATIONS: Final = frozenset(
    {"$schema", "$comment", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "discriminator"}
)
_WORDS: Final = frozenset({"title", "description"})
_JSON_KEPT: Final = frozenset(
    {"$id", "$anchor", "type", "format", "minItems", "maxItems", "minimum", "maximum", "required", "propertyOrdering"}
)
_OPEN_KEPT: Final = frozenset(
    {"minItems", "maxItems", "minimum", "maximum", "required", "propertyOrdering", "nullable"}
    | {"minProperties", "maxProperties", "minLength", "maxLength", "pattern"}
)
_OPEN_FORMATS: Final = frozenset({"float", "double", "int32", "int64", "enum", "date-time"})
_MOST_INLINED: Final = 1000


class _At(NamedTuple):
    """A keyword of a schema, and the schema that is being made."""

    keyword: str
    value: JSON
    schema: JSONObject
    made: Made


class _CannotError(Exception):
    """A keyword that a field cannot express."""

    def __init__(self, keyword: str) -> None:
        super().__init__(keyword)
        self.keyword = keyword


def output_schema(schema: JSONObject, preferred: str, *, strict: bool) -> tuple[str, JSONObject]:
    """Return the field and the schema for an answer.

    Args:
        schema: What the answer must be.
        preferred: The field to try first.
        strict: Refuse what cannot be expressed; else it becomes part of the description.

    Raises:
        CapabilityError: No field can say what a keyword says; the error names it.
    """
    makers = {"responseJsonSchema": json_schema, "responseSchema": open_schema}
    fields = [preferred, *(field for field in makers if field != preferred)]
    refused = ""
    for field in fields:
        try:
            return field, makers[field](schema, strict=True)
        except _CannotError as error:
            refused = refused or error.keyword
    if not strict:
        return preferred, makers[preferred](schema, strict=False)
    raise CapabilityError(
        f"Gemini cannot be held to the keyword {refused!r} of the JSON Schema",
        hint="Remove it, or ask with strict=False, so that the keyword becomes part of the description.",
    )


def tool_schema(schema: JSONObject, *, strict: bool) -> JSONObject:
    """Return a tool's parameters in OpenAPI's subset.

    Raises:
        CapabilityError: The tool is strict, and the subset cannot say what a keyword says; the error names it.
    """
    try:
        return open_schema(schema, strict=strict)
    except _CannotError as error:
        raise CapabilityError(f"Gemini's tool parameters cannot say {error.keyword!r}") from None


def json_schema(schema: JSONObject, *, strict: bool) -> JSONObject:
    """Return a schema for `responseJsonSchema`."""
    return _JSONWriter(schema, strict=strict).written(schema)


def open_schema(schema: JSONObject, *, strict: bool) -> JSONObject:
    """Return a schema for `responseSchema`: types in capitals, references resolved."""
    return _OpenWriter(schema, strict=strict).written(schema)


class _Writer(ABC):
    """What both fields have in common: a handler for each keyword, and a way to give one up."""

    kept: frozenset[str] = frozenset()
    null = "null"

    def __init__(self, root: JSONObject, *, strict: bool) -> None:
        self.root = root
        self.strict = strict
        self.handlers: dict[str, Callable[[_At], None]] = {
            "const": self._const,
            "enum": self._enum,
            "items": self._one,
            "properties": self._named,
            "anyOf": self._listed,
            "allOf": self._all_of,
            "exclusiveMinimum": self._exclusive,
            "exclusiveMaximum": self._exclusive,
        }

    def written(self, schema: JSON) -> Made:
        """Return a schema as the field takes it."""
        made: Made = {}
        if not isinstance(schema, Mapping):
            if schema is not True:
                self.give_up("false", schema, made)
            return made
        for keyword, value in schema.items():
            if keyword in self.kept or (keyword in _WORDS and isinstance(value, str)):
                made.setdefault(keyword, value)
            elif keyword in self.handlers:
                self.handlers[keyword](_At(keyword, value, schema, made))
            elif keyword not in _ANNOTATIONS:
                self.give_up(keyword, value, made)
        return made

    def give_up(self, keyword: str, value: JSON, made: Made) -> None:
        """Refuse a keyword, or say it in words."""
        if self.strict:
            raise _CannotError(keyword)
        said = made.get("description", "")
        made["description"] = f"{said} ({keyword}: {encoded(value).decode()})".strip()

    def _one(self, at: _At) -> None:
        at.made[at.keyword] = self.written(at.value)

    def _named(self, at: _At) -> None:
        named = at.value if isinstance(at.value, Mapping) else {}
        at.made[at.keyword] = {name: self.written(each) for name, each in named.items()}

    def _listed(self, at: _At) -> None:
        at.made[at.keyword] = [self.written(each) for each in _items(at.value)]

    def _all_of(self, at: _At) -> None:
        parts = _items(at.value)
        only = self.written(parts[0]) if len(parts) == 1 else {}
        clash = any(key in at.schema and key not in _WORDS for key in only)
        if len(parts) != 1 or clash or ("$ref" in only and not self._words_only(at.schema, at.keyword)):
            self.give_up(at.keyword, at.value, at.made)
            return
        at.made.update({key: each for key, each in only.items() if key not in at.schema})

    def _words_only(self, schema: JSONObject, but: str) -> bool:
        return all(key in _WORDS or key in _ANNOTATIONS or key in (but, "$defs", "definitions") for key in schema)

    def _exclusive(self, at: _At) -> None:
        bound = "minimum" if at.keyword.endswith("Minimum") else "maximum"
        if at.schema.get("type") != "integer" or not isinstance(at.value, int) or bound in at.schema:
            self.give_up(at.keyword, at.value, at.made)
        else:
            at.made[bound] = at.value + 1 if bound == "minimum" else at.value - 1

    def _const(self, at: _At) -> None:
        if at.value is None:
            at.made["type"] = self.null
        else:
            self._enum(at._replace(value=[at.value]))

    @abstractmethod
    def _enum(self, at: _At) -> None:
        """Write the words that are allowed."""


class _JSONWriter(_Writer):
    kept = _JSON_KEPT

    def __init__(self, root: JSONObject, *, strict: bool) -> None:
        super().__init__(root, strict=strict)
        self.handlers |= {
            "$ref": self._ref,
            "$defs": self._definitions,
            "definitions": self._definitions,
            "oneOf": self._listed,
            "prefixItems": self._listed,
            "additionalProperties": self._additional,
        }

    @override
    def written(self, schema: JSON) -> Made:
        made = super().written(schema)
        if "$ref" in made:
            for word in _WORDS:
                made.pop(word, None)
        return made

    def _ref(self, at: _At) -> None:
        # Beside a reference Google takes nothing else.
        if isinstance(at.value, str) and at.value.startswith("#") and self._words_only(at.schema, at.keyword):
            at.made[at.keyword] = at.value.replace("#/definitions/", "#/$defs/")
        else:
            self.give_up(at.keyword, at.value, at.made)

    def _definitions(self, at: _At) -> None:
        self._named(at._replace(keyword="$defs"))

    def _additional(self, at: _At) -> None:
        at.made[at.keyword] = at.value if isinstance(at.value, bool) else self.written(at.value)

    @override
    def _enum(self, at: _At) -> None:
        words = _items(at.value)
        known = [word for word in words if isinstance(word, str | int | float) and not isinstance(word, bool)]
        if len(known) == len(words):
            at.made["enum"] = known
        elif known and len(known) + words.count(None) == len(words) and "anyOf" not in at.schema:
            at.made["anyOf"] = [{"type": _type_of(known), "enum": known}, {"type": "null"}]
        else:
            self.give_up(at.keyword, at.value, at.made)


class _OpenWriter(_Writer):
    kept = _OPEN_KEPT
    null = "NULL"

    def __init__(self, root: JSONObject, *, strict: bool) -> None:
        super().__init__(root, strict=strict)
        self._open: list[str] = []
        self._inlined = 0
        self.handlers |= {
            "type": self._type,
            "format": self._format,
            "$ref": self._ref,
            "$defs": self._nothing,
            "definitions": self._nothing,
            "oneOf": self._listed,
            "additionalProperties": self._additional,
        }

    def _nothing(self, at: _At) -> None:
        """Definitions are written where they are used."""

    def _type(self, at: _At) -> None:
        names = [str(name) for name in ([at.value] if isinstance(at.value, str) else _items(at.value))]
        kinds = [name.upper() for name in names if name != "null"]
        if len(kinds) < len(names):
            at.made["nullable"] = True
        if len(kinds) == 1:
            at.made["type"] = kinds[0]
        elif not kinds:
            at.made["type"] = self.null
        else:
            at.made["anyOf"] = [{"type": kind} for kind in kinds]

    def _format(self, at: _At) -> None:
        if at.value in _OPEN_FORMATS:
            at.made[at.keyword] = at.value
        else:
            self.give_up(at.keyword, at.value, at.made)

    @override
    def _listed(self, at: _At) -> None:
        kinds = [each for each in _items(at.value) if not (isinstance(each, Mapping) and each.get("type") == "null")]
        if len(kinds) < len(_items(at.value)):
            at.made["nullable"] = True
        written = [self.written(each) for each in kinds]
        if len(written) == 1 and not (written[0].keys() & at.made.keys()) - {"nullable"} - _WORDS:
            at.made.update({**written[0], **at.made})
        elif "anyOf" in at.made:
            self.give_up(at.keyword, at.value, at.made)
        else:
            at.made["anyOf"] = written

    def _ref(self, at: _At) -> None:
        target = self._resolved(at.value)
        self._inlined += 1
        clash = not self._words_only(at.schema, at.keyword)
        if target is None or clash or str(at.value) in self._open or self._inlined > _MOST_INLINED:
            self.give_up(at.keyword, at.value, at.made)
            return
        self._open.append(str(at.value))
        for key, each in self.written(target).items():
            at.made.setdefault(key, each)
        self._open.pop()

    def _resolved(self, ref: JSON) -> JSON:
        _, *steps = str(ref).split("/")
        found: JSON = self.root if str(ref).startswith("#/") else None
        for step in steps:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        return found

    def _additional(self, at: _At) -> None:
        # False needs no word: nothing is said but what is declared.
        if at.value is not False:
            self.give_up(at.keyword, at.value, at.made)

    @override
    def _enum(self, at: _At) -> None:
        words = _items(at.value)
        known = [word for word in words if isinstance(word, str)]
        if not known or len(known) + words.count(None) < len(words):
            self.give_up(at.keyword, at.value, at.made)
            return
        if len(known) < len(words):
            at.made["nullable"] = True
        at.made.setdefault("type", "STRING")
        at.made["enum"] = known


def _items(value: JSON) -> Sequence[JSON]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _type_of(words: Sequence[JSON]) -> str:
    if all(isinstance(word, str) for word in words):
        return "string"
    return "integer" if all(isinstance(word, int) for word in words) else "number"
