"""What the JSON Schema says of one key: its meaning, default and unit, and which keys stand below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, final

from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.configuration.json_schema import RESERVED

KeyPath: TypeAlias = tuple[str, ...]
KeyKind: TypeAlias = Literal["block", "names", "free", "value"]
"""A block has keys of its own, `names` takes names of yours, `free` takes anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """One key of the schema.

    Attributes:
        kind: What may stand there.
        description: Its meaning.
        unit: The unit of its value, or None.
        default: What it is when nobody says anything.
        required: It must be there.
        in_force: This release acts on it.
        allowed: The words it may be; empty when it may be more than a few words.
        below: The keys of a block.
    """

    kind: KeyKind
    description: str
    unit: str | None
    default: JSON
    required: bool
    in_force: bool
    allowed: tuple[str, ...]
    below: tuple[str, ...]


_NAMED: Final = (("providers",), ("models",), ("clients",))

NO_FACTS: Final = KeyFacts(
    kind="free", description="", unit=None, default=None, required=False, in_force=True, allowed=(), below=()
)
"""Of a key that is nobody's."""


@final
class SchemaKeys:
    """Answers for every key path from one JSON Schema.

    Args:
        schema: As `config_json_schema` returns it.
    """

    def __init__(self, schema: JSONObject) -> None:
        """Keep the schema."""
        self._schema = schema
        self._known: dict[KeyPath, KeyFacts | None] = {}

    def facts(self, path: KeyPath) -> KeyFacts | None:
        """Return what is known of a key; None when there is no such key."""
        # A thousand clients have the same keys.
        alike = (path[0], "*", *path[2:]) if path[:1] in _NAMED and len(path) > 1 else path
        if alike not in self._known:
            self._known[alike] = self._facts(path)
        return self._known[alike]

    def _facts(self, path: KeyPath) -> KeyFacts | None:
        found = self._found(path)
        if found is None:
            return None
        node, required = found
        kinds = list(self._kinds(node))
        below = tuple(dict.fromkeys(name for kind in kinds for name in _mapping(kind.get("properties"))))
        return KeyFacts(
            kind="block" if below else _kind(kinds),
            description=_first_text((node, *kinds), "description") or "",
            unit=_first_text((node, *kinds), "x-unit"),
            default=node.get("default"),
            required=required,
            in_force=all(self._acts(path[:end]) for end in range(1, len(path) + 1)),
            allowed=tuple(word for kind in kinds for word in _words(kind)),
            below=below,
        )

    def below(self, path: KeyPath) -> tuple[str, ...]:
        """Return the keys that the schema knows below a path."""
        facts = self.facts(path)
        return () if facts is None else facts.below

    def _found(self, path: KeyPath) -> tuple[JSONObject, bool] | None:
        node, required = self._schema, False
        for step in path:
            steps = (self._step(kind, step) for kind in self._kinds(node))
            found = next((each for each in steps if each is not None), None)
            if found is None:
                return None
            node, required = found
        return node, required

    def _acts(self, path: KeyPath) -> bool:
        found = self._found(path)
        return found is None or RESERVED not in str(found[0].get("description"))

    def _step(self, kind: JSONObject, step: str) -> tuple[JSONObject, bool] | None:
        properties = _mapping(kind.get("properties"))
        if step in properties:
            required = kind.get("required")
            return _mapping(properties[step]), isinstance(required, Sequence) and step in required
        for below in (*_mapping(kind.get("patternProperties")).values(), kind.get("additionalProperties")):
            if isinstance(below, Mapping):
                return below, False
        return None if kind else ({}, False)

    def _kinds(self, node: JSONObject) -> Iterator[JSONObject]:
        """Yield the alternatives of a node, references followed."""
        reference, parts = node.get("$ref"), node.get("anyOf")
        if isinstance(reference, str):
            yield from self._kinds(_mapping(_mapping(self._schema.get("$defs")).get(reference.rpartition("/")[2])))
        elif isinstance(parts, Sequence):
            for part in parts:
                yield from self._kinds(_mapping(part))
        else:
            yield node


def _mapping(value: JSON) -> JSONObject:
    return value if isinstance(value, Mapping) else {}


def _first_text(nodes: Iterable[JSONObject], name: str) -> str | None:
    return next((text for node in nodes if isinstance(text := node.get(name), str)), None)


def _words(kind: JSONObject) -> Iterator[str]:
    words = kind.get("enum", [kind.get("const")])
    yield from (word for word in words if isinstance(word, str)) if isinstance(words, Sequence) else ()


def _kind(kinds: Sequence[JSONObject]) -> KeyKind:
    if any("patternProperties" in kind for kind in kinds):
        return "names"
    return "free" if any(kind.get("type") == "object" or not kind for kind in kinds) else "value"
