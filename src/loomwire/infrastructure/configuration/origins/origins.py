"""Where every value of a configuration came from: who was asked, who answered, who had the last word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal, TypeAlias, final

from loomwire.domain.values import JSON
from loomwire.infrastructure.configuration.origins.asking import DECISIVE, Rows, inherits, owners, row_says, rows_below
from loomwire.infrastructure.configuration.origins.keys import NO_FACTS, KeyFacts, KeyPath, SchemaKeys
from loomwire.infrastructure.configuration.origins.masking import MASK, is_secret, shown
from loomwire.infrastructure.configuration.origins.reading import LayerKind, Reading, Said
from loomwire.infrastructure.configuration.scalars import Plain

OriginKind: TypeAlias = LayerKind | Literal["provider type", "default"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What somebody who was asked for a value said.

    Attributes:
        kind: Who: a layer, the provider's type, or the default.
        key: The key that was asked for there; another one than the reader's where values are inherited.
        said: Whether there was an answer; without one, the rest is empty.
        value: The answer, secrets masked.
        secret: The answer is one.
        variable: The variable that holds it, in the layers above the YAML.
        file: The file it stands in, with `line` and `column` from 1.
        line: See `file`.
        column: See `file`.
        type: The provider's type that says so.
        through: What the YAML took it from: `environment variable REGION`, `file /run/secrets/key`.
    """

    kind: OriginKind
    key: KeyPath
    said: bool = True
    value: JSON = None
    secret: bool = False
    variable: str | None = None
    file: str | None = None
    line: int = 0
    column: int = 0
    type: str | None = None
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """One value that is in force.

    Attributes:
        key: Its key.
        value: What is in force, secrets masked.
        origin: Who said so.
    """

    key: KeyPath
    value: JSON
    origin: Answer


@final
class Origins:
    """Traces every value of one configuration that loads.

    Args:
        reading: Its layers.
        rows: What provider types say.
        schema: What there is to say at all.
    """

    def __init__(self, reading: Reading, rows: Rows, schema: SchemaKeys) -> None:
        """Trace nothing yet."""
        self._reading = reading
        self._rows = rows
        self.schema = schema

    def facts(self, key: KeyPath) -> KeyFacts:
        """Return what the schema says of a key; of a free one, nothing."""
        return self.schema.facts(key) or NO_FACTS

    def resolved(self, key: KeyPath) -> Resolved:
        """Return the value of a key, and who said so."""
        origin = next(answer for answer in self.answers(key) if answer.said)
        return Resolved(key=key, value=origin.value, origin=origin)

    def answers(self, key: KeyPath) -> tuple[Answer, ...]:
        """Return everybody who is asked for a key, strongest first; the first that said something is in force.

        Silent layers of a key are one answer together. The default is last, and always says something.
        """
        found = [answer for owner in owners(key, self._reading.values) for answer in self._asked(owner)]
        found.append(self._default(key))
        last_word = next((answer for answer in found if answer.kind == "provider type" and _decides(answer)), None)
        first = next(answer for answer in found if answer.said)
        if last_word is not None and last_word.value != first.value:
            found.remove(last_word)
            found.insert(0, last_word)
        return tuple(found)

    def listed(self, below: KeyPath = (), *, everything: bool = False) -> Iterator[KeyPath]:
        """Yield the keys that have a value, in the order of the schema and of the files.

        Args:
            below: Only these.
            everything: Also those that have it from another key, or by default.
        """
        if everything:
            yield from self._schema_keys(below)
            return
        yield from (key for key in self._written_keys() if key[: len(below)] == below)

    def below(self, key: KeyPath) -> tuple[str, ...]:
        """Return what may stand below a key: keys of the schema, and the names that are there."""
        written = self._at(key)
        names = written if isinstance(written, Mapping) else ()
        return tuple(dict.fromkeys([*self.schema.below(key), *names]))

    def _asked(self, key: KeyPath) -> Iterator[Answer]:
        said = [self._answer(key, each) for each in self._reading.said(key)]
        # `null` leaves a value to whoever is asked next; only in an inherited block it is a value.
        if said and (said[0].value is not None or inherits(key)):
            yield from said
        else:
            yield Answer(kind="yaml", key=key, said=False)
        row = row_says(key, self._reading.values, self._rows)
        if row is not None:
            type_, value = row
            yield Answer(kind="provider type", key=key, value=shown(value, key), type=type_)

    def _answer(self, key: KeyPath, said: Said) -> Answer:
        secret = is_secret(key, said.ingredients) or said.kind == "secret file"
        strongest = next(self._reading.said(key))
        # What is in force was validated: `24MiB` is a number of bytes then.
        value = self._reading.valid(key) if said == strongest else said.value
        masked = shown(value, key, secret=secret)
        file, line, column = said.place or (None, 0, 0)
        through = tuple(f"{_PLACES[each.place]} {each.name}" for each in said.ingredients)
        hidden = secret or masked == MASK
        answer = Answer(kind=said.kind, key=key, value=masked, secret=hidden, variable=said.variable, through=through)
        return replace(answer, file=file, line=line, column=column)

    def _default(self, key: KeyPath) -> Answer:
        owner = list(owners(key, self._reading.values))[-1]
        return Answer(kind="default", key=owner, value=shown(self.facts(owner).default, owner))

    def _written_keys(self) -> Iterator[KeyPath]:
        written = list(_leaves(self._reading.values, ()))
        known = set(written)
        for entry, keys in groupby(written, lambda key: key[:2]):
            yield from keys
            if entry[0] in ("providers", "models"):
                yield from (key for key in rows_below(entry, self._reading.values, self._rows) if key not in known)

    def _schema_keys(self, below: KeyPath) -> Iterator[KeyPath]:
        facts = self.schema.facts(below)
        written = self._at(below)
        if facts is None:
            return
        if facts.kind == "block" and _opens(below, facts, written):
            for name in facts.below:
                yield from self._schema_keys((*below, name))
        elif facts.kind in ("names", "free") and isinstance(written, Mapping) and written:
            for name in written:
                yield from self._schema_keys((*below, name))
        else:
            yield below

    def _at(self, key: KeyPath) -> Plain:
        value: Plain = self._reading.values
        for step in key:
            value = value.get(step) if isinstance(value, Mapping) else None
        return value


_PLACES: Mapping[str, str] = {
    "environment": "environment variable",
    ".env": ".env variable",
    "file": "file",
    "default": "default of",
    "unset": "unset variable",
}


def _decides(answer: Answer) -> bool:
    # A type without a price makes its models free; one that charges nothing itself leaves it to the operator.
    return answer.key[2:] in DECISIVE and answer.value is not False


def _leaves(value: Plain, key: KeyPath) -> Iterator[KeyPath]:
    if isinstance(value, Mapping) and (value or not key):
        for name, below in value.items():
            yield from _leaves(below, (*key, name))
    elif value is not None:
        yield key


def _opens(key: KeyPath, block: KeyFacts, written: Plain) -> bool:
    """Tell whether the keys of a block have values of their own."""
    if isinstance(written, str):
        return False
    return not key or written is not None or block.default is not None or inherits((*key, "any"))
