"""Who is asked for a value: the key itself, then those it inherits from, the provider's type, and the default."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from loomwire.domain.values import JSON
from loomwire.infrastructure.configuration.origins.keys import KeyPath
from loomwire.infrastructure.configuration.scalars import Plain

Rows: TypeAlias = Callable[[str], Mapping[KeyPath, JSON]]
"""What a provider type says of every provider or model of its kind, by the keys below it: `("base_url",)`."""

BLOCKS: Final = frozenset({"timeouts", "retry", "retry_budget", "breaker", "limits", "pool"})
"""What a client, model or provider takes from the one below it, key by key, where it says nothing itself."""

DECISIVE: Final = frozenset({("free",), ("pool", "keepalive")})
"""Where a provider's type has the last word."""


_BALANCE: Final = frozenset({("balance", "warmup"), ("balance", "panic_probe_per_s")})
"""What a client takes from the defaults at once: its models and their providers say nothing of it."""


def inherits(path: KeyPath) -> bool:
    """Tell whether a key can get its value from another one."""
    if _is_of_health(path) or (path[:1] == ("clients",) and path[2:] in _BALANCE):
        return True
    return path[:1] in (("clients",), ("models",), ("providers",)) and path[2:3] != () and _is_shared(path)


def owners(path: KeyPath, values: Mapping[str, Plain]) -> Iterator[KeyPath]:
    """Yield the keys that are asked for a value, the nearest first.

    A client with several models inherits from the first.

    Args:
        path: The key.
        values: The whole configuration.
    """
    yield path
    if inherits(path):
        yield from owners((*_above(path, values), *path[2:]), values)


def row_says(path: KeyPath, values: Mapping[str, Plain], rows: Rows) -> tuple[str, JSON] | None:
    """Return a provider type and what it says of a key of such a provider or of one of its models.

    Args:
        path: The key.
        values: The whole configuration.
        rows: Knows the types.
    """
    key, provider = path[2:], _provider_of(path, values)
    type_ = provider.get("type")
    # What a provider may say itself is asked for there, and not at its models.
    if not key or not isinstance(type_, str) or (path[0] == "models" and _is_of_provider(key)):
        return None
    says = rows(type_)
    if key not in says or (key == ("allow_private",) and provider.get("base_url") is not None):
        return None
    return type_, says[key]


def rows_below(path: KeyPath, values: Mapping[str, Plain], rows: Rows) -> Iterator[KeyPath]:
    """Yield the keys below a provider or model of which its type says something.

    Args:
        path: `("providers", name)` or `("models", name)`.
        values: The whole configuration.
        rows: Knows the types.
    """
    type_ = _provider_of(path, values).get("type")
    for key in rows(type_) if isinstance(type_, str) else ():
        if row_says((*path, *key), values, rows) is not None and _is_of_provider(key) == (path[0] == "providers"):
            yield (*path, *key)


def _provider_of(path: KeyPath, values: Mapping[str, Plain]) -> Mapping[str, Plain]:
    """Return the provider that a key is of, or whose model it is of; nothing for others."""
    if path[:1] == ("models",):
        provider = _entry(values, *path[:2]).get("provider")
        path = ("providers", str(provider))
    return _entry(values, *path[:2]) if path[:1] == ("providers",) else {}


def _above(path: KeyPath, values: Mapping[str, Plain]) -> KeyPath:
    if _is_of_health(path):
        return ("defaults", *path)
    if path[2:] in _BALANCE:
        return ("defaults",)
    entry = _entry(values, path[0], path[1])
    provider, models = entry.get("provider"), entry.get("models")
    if path[0] == "models" and isinstance(provider, str):
        return "providers", provider
    if path[0] == "clients" and isinstance(models, list) and models and isinstance(models[0], str):
        return "models", models[0]
    return ("defaults",)


def _is_shared(path: KeyPath) -> bool:
    section, block = path[0], path[2]
    if block == "extra":
        return section == "models" and len(path) > 3
    # A client's `pool` is another thing: models to choose from.
    return block in BLOCKS and len(path) > 3 and (section, block) != ("clients", "pool")


def _is_of_health(path: KeyPath) -> bool:
    return path[:1] == ("health",) and len(path) == 2


def _is_of_provider(key: KeyPath) -> bool:
    return key[0] != "capabilities"


def _entry(values: Mapping[str, Plain], section: str, name: str = "") -> Mapping[str, Plain]:
    entries = values.get(section)
    entry = entries.get(name) if isinstance(entries, Mapping) else None
    return entry if isinstance(entry, Mapping) else {}
