"""One text for every value that a key is made of: equal for what is equal on the wire, different for all else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass
from operator import attrgetter
from typing import Final, TypeAlias

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import Secret
from loomwire.domain.vectors.embeddings import CallTerms

_Plan: TypeAlias = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class Unordered:
    """Values whose order means nothing, and how often each of them is there."""

    values: tuple[object, ...]


# Fields that change no answer: when it has to be there, for whose books it is, how often and how fast a model is asked.
# Every other field, whoever adds it, is part of the key.
_SILENT: Final[Mapping[type, frozenset[str]]] = {
    LLMRequest: frozenset({"deadline_s", "bound", "session", "tags", "cache", "resume", "priority"}),
    CallTerms: frozenset({"deadline_s", "bound", "session", "tags", "cache"}),
    LLMConfig: frozenset({"timeouts", "retry", "retry_budget", "breaker", "rate", "provider_rate", "pool", "limits"})
    | {"prices", "free", "tags", "catalogue", "allow_private"},
    ModelCapabilities: frozenset({"sources"}),
}
# Which of them is used for a call is nobody's choice.
_UNORDERED: Final[Mapping[type, frozenset[str]]] = {LLMConfig: frozenset({"keys"}), Unordered: frozenset({"values"})}

_ATOMS: Final = frozenset({str, int, float, bool, type(None)})
_MOST_KINDS: Final = 256


def canonical(value: object) -> str:
    """Return the canonical text of a value: JSON, bytes, sets, secrets, and dataclasses of such.

    No two values have one text that are different on the wire: `True`, `1`, `1.0`, `"1"`, `None` and `""` all differ.
    Lists and tuples do not, nor does the order of a mapping. Bytes and secrets stand in it as their SHA-256. The text
    is ASCII but for what Python prints as it is, and has no line break.

    Raises:
        TypeError: Something in it is none of these; other errors, such as RecursionError, come from what cannot be
            walked through.
    """
    # The repr of these plain types is one to one, and no other program of the standard library writes it as fast.
    return repr(_view(value))


def silent_fields(kind: type) -> frozenset[str]:
    """Return the names of a class's fields that are no part of its canonical text."""
    return _noted(_SILENT, kind)


def _view(value: object) -> object:
    plan = _PLANS.get(type(value))
    if plan is not None:
        return plan(value)
    if isinstance(value, dict):
        return _table(value)
    # Not by one isinstance(): a union of types takes it three times as long, and this is most of what a key costs.
    if isinstance(value, tuple):
        return _listed(value)
    if isinstance(value, list):
        return _listed(value)
    return value if type(value) in _ATOMS else _other(value)


def _listed(values: Iterable[object]) -> list[object]:
    return [one if type(one) in _ATOMS else _view(one) for one in values]


def _table(values: dict[str, object]) -> dict[str, object]:
    # str.__str__ refuses keys that are no texts, and makes plain ones of those that are more than texts.
    names = sorted(map(str.__str__, values))
    return {name: one if type(one := values[name]) in _ATOMS else _view(one) for name in names}


def _other(value: object) -> object:
    """View what is of a class that was not seen before, or of one derived from a plain type."""
    if isinstance(value, Secret):
        raw = value.reveal().encode("utf-8", "surrogatepass")
        return ("secret", hashlib.sha256(b"loomwire/key\0" + raw).hexdigest())
    if is_dataclass(value) and not isinstance(value, type):
        plan = _planned(type(value))
        if len(_PLANS) < _MOST_KINDS:
            _PLANS[type(value)] = plan
        return plan(value)
    return _derived(value) if isinstance(value, str | int | float) else _grouped(value)


def _grouped(value: object) -> object:
    if isinstance(value, Mapping):
        return _table(dict(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return ("bytes", hashlib.sha256(value).hexdigest())
    if isinstance(value, Set):
        return _unordered(value)
    if isinstance(value, Sequence):
        return _listed(value)
    raise TypeError(f"a {type(value).__name__} has no canonical text")


def _derived(value: str | float) -> object:
    if isinstance(value, str):
        return str.__str__(value)
    return int.__index__(value) if isinstance(value, int) else float.__pos__(value)


def _unordered(values: Iterable[object]) -> object:
    return ("set", sorted(set(map(canonical, values))))


def _planned(kind: type) -> _Plan:
    """Return what views a dataclass: its name and fields, so that nothing that is laid out otherwise is like it."""
    silent, unordered = _noted(_SILENT, kind), sorted(_noted(_UNORDERED, kind))
    names = [one.name for one in fields(kind) if one.name not in (*silent, *unordered)]
    tag = " ".join((kind.__qualname__, *names, *unordered))
    take = _taking(names)

    def view(value: object) -> object:
        return (tag, _listed(take(value)))

    def view_with_sets(value: object) -> object:
        return (tag, _listed(take(value)), [_unordered(getattr(value, name)) for name in unordered])

    return view_with_sets if unordered else view


def _taking(names: Sequence[str]) -> Callable[[object], Sequence[object]]:
    if len(names) > 1:
        return attrgetter(*names)
    take = attrgetter(*names) if names else None
    return lambda value: () if take is None else (take(value),)


def _noted(table: Mapping[type, frozenset[str]], kind: type) -> frozenset[str]:
    return frozenset().union(*(table.get(base, ()) for base in kind.__mro__))


_PLANS: Final[dict[type, _Plan]] = {}
