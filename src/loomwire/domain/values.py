"""Values that every room shares: JSON as a type, tool calls, and secrets that cannot be shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, NoReturn, Self, TypeAlias, TypeVar, final

from typing_extensions import TypeAliasType, override

K = TypeVar("K")
V = TypeVar("V")

JSON = TypeAliasType("JSON", "Mapping[str, JSON] | Sequence[JSON] | str | int | float | bool | None")
"""Any JSON value. Read-only on purpose: nobody below may change what a caller handed in."""

JSONObject: TypeAlias = Mapping[str, JSON]
"""A JSON object."""


Source: TypeAlias = Literal["yaml", "detected", "catalogue", "family", "provider", "unknown"]
"""Who states a fact, strongest first: yaml > detected > catalogue > family > provider > unknown."""


class FrozenDict(dict[K, V]):
    """A dict that refuses writes, so that it can be a default and shared by threads; hashes, pickles and deep-copies.

    A dict and not a proxy: encoders take it as it is, and `MappingProxyType` neither pickles nor deep-copies.
    Values are not frozen with it, and it hashes only if they do. Every write raises TypeError; `|` and `copy()` give
    a plain dict.

    Example:
        >>> FrozenDict(a=1) | {"b": 2}
        {'a': 1, 'b': 2}
    """

    __slots__ = ()

    @override
    def __hash__(self) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]
        return hash(frozenset(self.items()))

    @override
    def __reduce__(self) -> tuple[type[FrozenDict[K, V]], tuple[dict[K, V]]]:
        return FrozenDict, (dict(self),)


def _refuse(*_: object, **__: object) -> NoReturn:
    raise TypeError("this mapping is frozen")


# Not in the class body: no single signature fits those that dict's writers promise to type checkers.
for _writer in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
    setattr(FrozenDict, _writer, _refuse)

NO_JSON: JSONObject = FrozenDict()
"""The empty object shared as a default."""


@final
class Secret:
    """Holds a secret so that printing, logging, pickling or comparing by accident cannot reveal it.

    Python cannot wipe a string from memory; this class only makes sure nobody shows it by mistake.
    Immutable, so it may be shared by threads and event loops.

    Args:
        value: The secret text. It must not be empty.

    Example:
        >>> Secret("sk-live-1234")
        Secret('***')
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Keep `value`; raises ValueError (without the value) if it is empty or has control characters."""
        if not value or not value.isprintable():
            # A line break in a key would end the header and start another one.
            raise ValueError("a secret must be non-empty printable text")
        self._value = value

    def reveal(self) -> str:
        """Return the secret text. Only header builders call this."""
        return self._value

    @override
    def __repr__(self) -> str:
        return "Secret('***')"

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    @override
    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never pickled; send the name of the client and resolve it there")


LONGEST_SHOWN: Final = 200
"""Characters of a line or a name in a message."""


@cache
def _look() -> re.Pattern[str]:
    # Not at import: it takes longer to compile than most modules to import.
    return re.compile(
        r"(?i)\b(?:sk|pk|rk|gsk|xai|pplx|key|ghp|hf|xox[a-z])[-_][a-z0-9]|AIza|eyJ[a-z0-9]|\bBearer\s|://[^/\s]*@"
        r"|\?[\w.~-]+=|(?=[a-z0-9]{0,64}[0-9])(?=[a-z0-9]{0,64}[a-z])[a-z0-9]{20}"
    )


def looks_secret(text: str) -> bool:
    """Tell whether a text holds something that looks like a key, a token or a URL with a password or a query."""
    return _look().search(text) is not None


def may_be_shown(name: str) -> bool:
    """Tell whether a name may stand in a message: a key that somebody pasted in the wrong place may not."""
    return len(name) <= LONGEST_SHOWN and not looks_secret(name)


def masked(name: str) -> str:
    """Return a name for a message, or `***` when it looks like a secret."""
    return name if may_be_shown(name) else "***"


def listed(names: Iterable[str]) -> str:
    """Return names that somebody made up as a list for a message; what looks like a secret among them is `***`."""
    return ", ".join(dict.fromkeys(map(masked, names)))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the model asks for.

    Attributes:
        id: Pairs the call with its result. Made up by us, stable, when the wire has none.
        name: The tool's name.
        arguments: The parsed arguments, or None when the wire's text is no JSON object (cut by the token limit).
        raw_arguments: The wire's text when `arguments` is None, else "".
        signature: An opaque token some vendors want back unchanged.
    """

    id: str
    name: str
    arguments: JSONObject | None
    raw_arguments: str = ""
    signature: str | None = None

    def to_dict(self) -> dict[str, JSON]:
        """Return the call as JSON, without the signature, which means nothing to others."""
        return {"id": self.id, "name": self.name, "arguments": self.arguments, "raw_arguments": self.raw_arguments}
